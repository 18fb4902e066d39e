"""Order parameters of a network of finite width."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.problem import Problem
from meanfield.states.base import KINDS, Origin, State, check_conversion
from meanfield.states.factors import fit_rows, principal_coordinates, split, turn_rows
from meanfield.states.measure import ParticleMeasure
from meanfield.targets import triangular_factor

if TYPE_CHECKING:
    from meanfield.states.weights import Weights


@dataclass(frozen=True, eq=False)
class Overlaps(State):
    """Order parameters of a network of finite width.

    Parameters
    ----------
    Q : array_like, shape (p, p)
        Student–student overlaps W Wᵀ/d.
    M : array_like, shape (p, k)
        Student–target overlaps W W*ᵀ/d.
    P : array_like, shape (k, k)
        Target–target overlaps W* W*ᵀ/d.
    a : array_like, shape (p,)
        Second-layer weights.
    origin : mapping, optional
        How the overlaps were made.

    Raises
    ------
    TypeError, ValueError
        If shapes disagree, a number is not finite, or [[P, Mᵀ], [M, Q]] is not symmetric and
        positive semi-definite.

    Examples
    --------
    >>> import meanfield as mf
    >>> Q = [[1.0, 0.2], [0.2, 1.0]]
    >>> overlaps = mf.Overlaps(Q, M=[[0.5], [0.1]], P=[[1.0]], a=[1.0, 1.0])
    >>> overlaps.p, overlaps.k
    (2, 1)
    >>> overlaps.measure().r.round(3)
    array([0.866, 0.995])
    """

    Q: NDArray[np.float64]
    M: NDArray[np.float64]
    P: NDArray[np.float64]
    a: NDArray[np.float64]
    origin: Origin = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        a = checks.array(self.a, "a", (None,), described="(p,)")
        p = a.shape[0]
        if p == 0:
            raise ValueError("a must hold at least one neuron, got shape (0,)")
        P = checks.array(self.P, "P", (None, None), described="(k, k)")
        k = P.shape[0]
        P = checks.array(P, "P", (k, k), described=f"(k, k) with k = {k}")
        Q = checks.array(self.Q, "Q", (p, p), described=f"(p, p) with p = {p}")
        M = checks.array(self.M, "M", (p, k), described=f"(p, k) = ({p}, {k})")
        joint = np.block([[P, M.T], [M, Q]])
        scale = float(np.abs(joint).max())
        if not np.allclose(joint, joint.T, rtol=0.0, atol=1e-10 * scale):
            raise ValueError("Q and P must be symmetric")
        _refuse_indefinite(joint, scale)
        values = {"Q": Q, "M": M, "P": P, "a": a, "origin": dict(self.origin)}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def p(self) -> int:
        """Width of the network."""
        return self.a.shape[0]

    @property
    def k(self) -> int:
        """Number of target directions."""
        return self.P.shape[0]

    def measure(self) -> ParticleMeasure:
        """The law of the neurons (a, u, r); their mutual perpendicular angles are left out."""
        u = principal_coordinates(triangular_factor(self.P), self.M)
        r = np.sqrt(np.maximum(np.diag(self.Q) - (u * u).sum(1), 0.0))
        return ParticleMeasure(self.a, u, r, origin=self.origin)

    def weights(self, problem: Problem, seed: int | None = None) -> Weights:
        """Weights in R^d that have these overlaps.

        Exact: their overlaps are these, up to rounding. All such weights are one up to a rotation,
        which the law of SGD does not see.

        Parameters
        ----------
        problem : Problem
            With P as its target's Gram matrix, and a finite dimension d of at least the rank of
            the overlaps. The target's directions lie in the first coordinates.
        seed : int, optional
            ≥ 0: turn the other coordinates by a random rotation, so that these are a sample of
            uniformly distributed weights with these overlaps. Not turned by default.

        Returns
        -------
        Weights

        Raises
        ------
        TypeError, ValueError
            If the problem is of another target, or d is too small or infinite.
        """
        seed = check_conversion(problem, seed, finite=True)
        P = np.asarray(problem.target.gram)
        if P.shape != self.P.shape or not np.allclose(
            P, self.P, rtol=0.0, atol=1e-8 * np.abs(P).max()
        ):
            raise ValueError("problem must have the overlaps' P as its target's gram matrix")
        u, S = split(problem.target.basis, self.M, self.Q)
        longest = math.sqrt(float(np.diag(self.Q).max()))
        outside = fit_rows(S, int(problem.perpendicular_dim), longest)
        if seed is not None:
            outside = turn_rows(outside, np.random.default_rng(seed))
        return KINDS["Weights"].placed(problem, u, outside, self.a, self.origin)


def _refuse_indefinite(joint: NDArray[np.float64], scale: float) -> None:
    """Raise if the joint overlap matrix has an eigenvalue below rounding."""
    slack = 1e-8 * max(scale, 1e-300) * math.sqrt(joint.shape[0])
    try:  # a factorisation that succeeds settles it at a fraction of the cost of the spectrum
        np.linalg.cholesky(joint + slack * np.eye(joint.shape[0]))
    except np.linalg.LinAlgError:
        smallest = float(np.linalg.eigvalsh(joint)[0])
        raise ValueError(
            "Q, M and P must form a positive semi-definite matrix [[P, Mᵀ], [M, Q]], "
            f"got a smallest eigenvalue of {smallest:g}"
        ) from None
