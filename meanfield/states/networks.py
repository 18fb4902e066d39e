"""Networks of finite width: their order parameters, and the weights themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.problem import Problem
from meanfield.states.base import KINDS, Origin, State, check_conversion, check_neurons
from meanfield.states.factors import fit_rows, principal_coordinates, split, turn_rows
from meanfield.states.measure import ParticleMeasure
from meanfield.targets import has_gram, triangular_factor

Array = NDArray[np.float64]


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

    Q: Array
    M: Array
    P: Array
    a: Array
    origin: Origin = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        a = check_neurons(self.a, "(p,)")
        p = len(a)
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
        self._keep(Q=Q, M=M, P=P, a=a, origin=dict(self.origin))

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
        if not has_gram(problem.target, self.P):
            raise ValueError("problem must have the overlaps' P as its target's gram matrix")
        u, S = split(problem.target.basis, self.M, self.Q)
        longest = math.sqrt(float(np.diag(self.Q).max()))
        outside = fit_rows(S, int(problem.perpendicular_dim), longest)
        if seed is not None:
            outside = turn_rows(outside, np.random.default_rng(seed))
        return KINDS["Weights"].placed(problem, u, outside, self.a, self.origin)


def _refuse_indefinite(joint: Array, scale: float) -> None:
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


@dataclass(frozen=True, eq=False)
class Weights(State):
    """First- and second-layer weights themselves.

    Parameters
    ----------
    W : array_like, shape (p, d)
        Rows w_i; pre-activations are w_i·x/√d.
    W_star : array_like, shape (k, d)
        Rows w*_r of the target.
    a : array_like, shape (p,)
        Second-layer weights.
    origin : mapping, optional
        How the weights were made.

    Raises
    ------
    TypeError, ValueError
        If the shapes disagree or a number is not finite.

    Examples
    --------
    >>> import meanfield as mf
    >>> weights = mf.Weights(W=[[1.0, 1.0], [0.0, 2.0]], W_star=[[1.0, 1.0]], a=[1.0, 1.0])
    >>> weights.overlaps().M
    array([[1.],
           [1.]])
    """

    W: Array
    W_star: Array
    a: Array
    origin: Origin = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        a = check_neurons(self.a, "(p,)")
        p = len(a)
        W = checks.array(self.W, "W", (p, None), described=f"(p, d) with p = {p}")
        d = W.shape[1]
        W_star = checks.array(self.W_star, "W_star", (None, d), described=f"(k, d) with d = {d}")
        self._keep(W=W, W_star=W_star, a=a, origin=dict(self.origin))

    @classmethod
    def placed(
        cls, problem: Problem, u: Array, outside: Array, a: Array, origin: Origin
    ) -> Weights:
        """Weights in R^d: principal coordinates u first, then the parts outside (p, D)."""
        root, k = math.sqrt(problem.dim), problem.subspace_dim
        W_star = np.zeros((problem.target.k, int(problem.dim)))
        W_star[:, :k] = root * problem.target.basis
        return cls(root * np.hstack((u, outside)), W_star, a, origin)

    @property
    def dim(self) -> int:
        """Input dimension d."""
        return self.W.shape[1]

    def overlaps(self) -> Overlaps:
        """The sufficient statistics Q, M, P of the population risk."""
        d = self.dim
        Q = self.W @ self.W.T / d
        P = self.W_star @ self.W_star.T / d
        return Overlaps(
            0.5 * (Q + Q.T), self.W @ self.W_star.T / d, 0.5 * (P + P.T), self.a, self.origin
        )

    def measure(self) -> ParticleMeasure:
        """The law of the neurons (a, u, r), in time linear in their number."""
        root = math.sqrt(self.dim)
        W, W_star = self.W / root, self.W_star / root
        u = principal_coordinates(triangular_factor(W_star @ W_star.T), W @ W_star.T)
        # the part outside from what is left of the vectors: r² = Q − |u|² would cancel
        frame = np.linalg.svd(W_star, full_matrices=False)[2][: u.shape[1]]
        outside = W - (W @ frame.T) @ frame
        return ParticleMeasure(self.a, u, np.linalg.norm(outside, axis=1), origin=self.origin)
