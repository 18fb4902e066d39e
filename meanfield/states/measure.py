"""A law of neurons: masses on (a, u, r)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.problem import Problem
from meanfield.states.base import KINDS, Origin, State, check_conversion, check_neurons
from meanfield.states.factors import random_cosines, random_directions, systematic_choice

if TYPE_CHECKING:
    from meanfield.states.networks import Overlaps, Weights

MASS_TOLERANCE = 1e-9  # of the sum of the masses


@dataclass(frozen=True, eq=False)
class ParticleMeasure(State):
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
        a = check_neurons(self.a, "(n,)")
        n = len(a)
        u = checks.array(_as_columns(self.u), "u", (n, None), described=f"(n, k) with n = {n}")
        if u.shape[1] == 0:
            raise ValueError(f"u must have at least one column, got shape {u.shape}")
        r = checks.array(self.r, "r", (n,), described=f"(n,) with n = {n}")
        if (r < 0).any():
            raise ValueError(f"r must be at least 0, got a smallest entry of {r.min():g}")
        mass = None if self.mass is None else _masses(self.mass, n)
        self._keep(a=a, u=u, r=r, mass=mass, origin=dict(self.origin))

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

    def resampled(self, n: int, seed: int = 0) -> ParticleMeasure:
        """The law by n neurons of equal mass, each one of these.

        Systematic resampling: a neuron of mass m appears n m times, rounded down or up, without
        bias. Equal masses and an n that is a multiple of theirs keep the law exactly.

        Parameters
        ----------
        n : int
            Number of neurons wanted.
        seed : int
            Seed of the one uniform number that is drawn, ≥ 0.

        Returns
        -------
        ParticleMeasure
        """
        n, seed = checks.integer(n, "n"), checks.integer(seed, "seed", minimum=0)
        if n == self.n and self.mass is None:
            return self
        chosen = systematic_choice(self.mass, self.n, n, np.random.default_rng(seed))
        origin = {"resampled": n, "seed": seed, "from": dict(self.origin)}
        return ParticleMeasure(self.a[chosen], self.u[chosen], self.r[chosen], origin=origin)

    def overlaps(self, problem: Problem, p: int | None = None, seed: int = 0) -> Overlaps:
        """Overlaps of a network of width p drawn from the law.

        What the law leaves open, the angles between neurons outside the principal subspace, is
        drawn: independent uniform directions, orthogonal at d = ∞. a, u and r are kept.

        Parameters
        ----------
        problem : Problem
            Whose target and dimension the overlaps are to have.
        p : int, optional
            Width; other than n, or with unequal masses, neurons are resampled. The default is n,
            for equal masses.
        seed : int
            Seed of the draw, ≥ 0.

        Returns
        -------
        Overlaps
        """
        neurons, rng = self._drawn(problem, p, seed, finite=False)
        cosines = random_cosines(neurons.n, problem.perpendicular_dim, rng)
        Q = neurons.u @ neurons.u.T + neurons.r[:, None] * cosines * neurons.r
        M, P = neurons.u @ problem.target.basis.T, np.asarray(problem.target.gram)
        return KINDS["Overlaps"](0.5 * (Q + Q.T), M, P, neurons.a, self.origin)

    def weights(self, problem: Problem, p: int | None = None, seed: int = 0) -> Weights:
        """Weights of a network of width p drawn from the law, directions as in `overlaps`.

        Parameters
        ----------
        problem : Problem
            Whose target and finite dimension the weights are to have; the target's directions lie
            in the first coordinates.
        p, seed
            As in `overlaps`. Angles are drawn otherwise than there, from the same law.

        Returns
        -------
        Weights
        """
        neurons, rng = self._drawn(problem, p, seed, finite=True)
        D = int(problem.perpendicular_dim)
        outside = neurons.r[:, None] * random_directions(neurons.n, D, rng)
        return KINDS["Weights"].placed(problem, neurons.u, outside, neurons.a, self.origin)

    def _drawn(
        self, problem: Any, p: Any, seed: Any, *, finite: bool
    ) -> tuple[ParticleMeasure, np.random.Generator]:
        """p neurons of equal mass, and the stream for their directions."""
        seed = check_conversion(problem, seed, finite=finite)
        if self.k != problem.subspace_dim:
            raise ValueError(
                "problem must have a principal subspace of the measure's dimension k = "
                f"{self.k}, got {problem.subspace_dim}"
            )
        if p is None and self.mass is not None:
            raise ValueError("p must be given: neurons of unequal mass have to be resampled")
        p = self.n if p is None else checks.integer(p, "p")
        return self.resampled(p, seed), np.random.default_rng(seed)


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
