"""States of a network: a measure of neurons, its overlaps, its weights.

Each knows the state below it: Weights -> Overlaps -> ParticleMeasure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.targets import triangular_factor

Origin = Mapping[str, Any]
MASS_TOLERANCE = 1e-9  # of the sum of the masses


class _State:
    """Equality by the values of the arrays, wherever they came from."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        arrays = [name for name in vars(self) if name != "origin"]
        return all(np.array_equal(getattr(self, m), getattr(other, m)) for m in arrays)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        # built anew: pickled arrays would come back writable
        return type(self), tuple(vars(self).values())


@dataclass(frozen=True, eq=False)
class ParticleMeasure(_State):
    """Law of the neurons as n masses on (a, u, r), equal ones unless told otherwise.

    A neuron's pre-activation is λ = u·z + r θ·x⊥: u holds its coordinates in the principal
    subspace and r ≥ 0 its length outside, both for w/√d. A neuron of mass m stands for m of all
    neurons: f = Σ_i m_i a_i σ(λ_i).

    Parameters
    ----------
    a : array_like, shape (n,)
        Second-layer weights.
    u : array_like, shape (n, k)
        Principal coordinates; (n,) is taken as (n, 1). With a singular Gram matrix, k is its rank.
    r : array_like, shape (n,)
        Perpendicular lengths, r ≥ 0.
    mass : array_like, shape (n,), optional
        Masses, positive, of sum 1; equal ones, 1/n, by default.
    origin : mapping, optional
        How the measure was made (seed, scale, sampling); kept with results.

    Raises
    ------
    TypeError, ValueError
        If the shapes disagree, a number is not finite, r is negative, or masses are not positive
        or do not sum to 1.

    Examples
    --------
    >>> import meanfield as mf
    >>> mf.ParticleMeasure(a=[1.0, 1.0], u=[[0.1], [0.2]], r=[1.0, 1.0]).n
    2
    """

    a: NDArray[np.float64]
    u: NDArray[np.float64]
    r: NDArray[np.float64]
    mass: NDArray[np.float64] | None = None
    origin: Origin = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        a = checks.array(self.a, "a", (None,), described="(n,)")
        n = a.shape[0]
        if n == 0:
            raise ValueError("a must hold at least one neuron, got shape (0,)")
        u = checks.array(_as_columns(self.u), "u", (n, None), described=f"(n, k) with n = {n}")
        if u.shape[1] == 0:
            raise ValueError(f"u must have at least one column, got shape {u.shape}")
        r = checks.array(self.r, "r", (n,), described=f"(n,) with n = {n}")
        if (r < 0).any():
            raise ValueError(f"r must be at least 0, got a smallest entry of {r.min():g}")
        mass = None if self.mass is None else _masses(self.mass, n)
        values = {"a": a, "u": u, "r": r, "mass": mass, "origin": dict(self.origin)}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ParticleMeasure):
            return NotImplemented
        mine, theirs = ((m.a, m.u, m.r, m.masses) for m in (self, other))
        return all(map(np.array_equal, mine, theirs))

    __hash__ = None

    @property
    def n(self) -> int:
        """Number of neurons."""
        return self.a.shape[0]

    @property
    def k(self) -> int:
        """Dimension of the principal subspace."""
        return self.u.shape[1]

    @property
    def masses(self) -> NDArray[np.float64]:
        """Mass of each neuron, shape (n,), equal or not."""
        return np.full(self.n, 1.0 / self.n) if self.mass is None else self.mass

    def arrays(self) -> tuple[NDArray[np.float64], ...]:
        """Writable copies of a, u, r, which is how kernels want them.

        numba compiles apart for read-only arrays, and takes whichever version is there already:
        mixing the two would let the last bit of a result depend on what ran before.
        """
        return np.array(self.a), np.array(self.u), np.array(self.r)

    def points(self) -> NDArray[np.float64]:
        """The neurons as points (a, u, r), shape (n, k + 2)."""
        return np.column_stack((self.a, self.u, self.r))


@dataclass(frozen=True, eq=False)
class Overlaps(_State):
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
        B = triangular_factor(self.P)
        u = np.linalg.lstsq(B, self.M.T, rcond=None)[0].T.astype(np.float64)
        r = np.sqrt(np.maximum(np.diag(self.Q) - (u * u).sum(1), 0.0))
        return ParticleMeasure(self.a, u, r, origin=self.origin)


@dataclass(frozen=True, eq=False)
class Weights(_State):
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
    """

    W: NDArray[np.float64]
    W_star: NDArray[np.float64]
    a: NDArray[np.float64]
    origin: Origin = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        a = checks.array(self.a, "a", (None,), described="(p,)")
        p = a.shape[0]
        if p == 0:
            raise ValueError("a must hold at least one neuron, got shape (0,)")
        W = checks.array(self.W, "W", (p, None), described=f"(p, d) with p = {p}")
        d = W.shape[1]
        W_star = checks.array(self.W_star, "W_star", (None, d), described=f"(k, d) with d = {d}")
        values = {"W": W, "W_star": W_star, "a": a, "origin": dict(self.origin)}
        for name, value in values.items():
            object.__setattr__(self, name, value)

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


def _masses(mass: Any, n: int) -> NDArray[np.float64]:
    mass = checks.array(mass, "mass", (n,), described=f"(n,) with n = {n}")
    if (mass <= 0).any():
        raise ValueError(f"mass must be positive, got a smallest entry of {mass.min():g}")
    if abs(mass.sum() - 1.0) > MASS_TOLERANCE:
        raise ValueError(f"mass must sum to 1, got a sum of {mass.sum():.12g}")
    return mass


def _as_columns(u: Any) -> Any:
    """A one-dimensional u as one column; anything else as it came, for the checks to judge."""
    try:
        return np.asarray(u)[:, None] if np.ndim(u) == 1 else u
    except ValueError:  # ragged
        return u


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
