"""Where the mass of a state lies with respect to the principal subspace, at one moment."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield import checks
from meanfield.fields import Field, check_evaluator, choose_field
from meanfield.gaussian.pair_averages import pair_averages
from meanfield.kernels.threads import thread_limit
from meanfield.problem import Problem
from meanfield.projection.neurons import Neurons, split
from meanfield.states import Overlaps, ParticleMeasure, Weights

State = ParticleMeasure | Overlaps | Weights
TOLERANCE = 1e-6  # of velocities under a field whose values err by much less: they are smoother


@dataclass(frozen=True, eq=False)
class Concentration:
    """Where the mass of a state lies with respect to the principal subspace.

    Attributes
    ----------
    alignment : ndarray, shape (n,)
        |u|²/(|u|² + r²) of each neuron: 1 in the subspace, 0 orthogonal to it. A neuron of length
        zero has no direction; its alignment is 0.
    energy : float
        E|u|²/E(|u|² + r²), the share of the squared weights that lies in the subspace.
    leak : float
        E Var(f | z)/E f², the share of the function that depends on inputs outside the subspace;
        0 at p = d = ∞. Where f itself is near 0 the ratio means little: see its two parts.
    leak_variance, function_energy : float
        E Var(f | z) and E f².
    masses : ndarray, shape (n,), or None
        Of the neurons, if they are not equal.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> law = mf.gaussian_measure(problem, n=1000)
    >>> c = mf.projection.concentration(law, problem)
    >>> c.alignment.shape, round(c.energy, 2), c.mass_within(1.5) < 0.6
    ((1000,), 0.01, True)
    """

    alignment: NDArray[np.float64]
    energy: float
    leak: float
    leak_variance: float
    function_energy: float
    masses: NDArray[np.float64] | None = None

    @property
    def mean_alignment(self) -> float:
        """Mean over the neurons, by mass."""
        return float(np.average(self.alignment, weights=self.masses))

    def mass_within(self, angle: ArrayLike) -> Any:
        """Share of the neurons within an angle of the subspace.

        Parameters
        ----------
        angle : float or array_like
            Radians, in [0, π/2].

        Returns
        -------
        float or ndarray
            Of the shape of `angle`.
        """
        angles = np.asarray(angle, dtype=np.float64)
        if not ((angles >= 0) & (angles <= math.pi / 2)).all():
            raise ValueError(f"angle must lie in [0, π/2] radians, got {angle!r}")
        # a neuron at angle ψ has alignment cos²ψ
        ordered, beyond = self._sorted_alignment()
        below = np.searchsorted(ordered, np.cos(angles) ** 2 - 1e-15, side="left")
        share = np.where(angles >= math.pi / 2, 1.0, 1.0 - beyond[below])
        return float(share) if angles.ndim == 0 else share

    def angle_of(self, fraction: ArrayLike) -> Any:
        """The smallest angle to the subspace within which a fraction of the mass lies.

        Parameters
        ----------
        fraction : float or array_like
            In (0, 1].

        Returns
        -------
        float or ndarray
            Radians, of the shape of `fraction`.
        """
        fractions = np.asarray(fraction, dtype=np.float64)
        if not ((fractions > 0) & (fractions <= 1)).all():
            raise ValueError(f"fraction must lie in (0, 1], got {fraction!r}")
        ordered, beyond = self._sorted_alignment()
        # the neuron up to which less than the rest of the mass lies further out
        index = np.searchsorted(beyond, 1.0 - fractions + 1e-12, side="right") - 1
        angles = np.arccos(np.sqrt(ordered[np.minimum(index, len(ordered) - 1)]))
        return float(angles) if fractions.ndim == 0 else angles

    def _sorted_alignment(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Alignments in increasing order (n,), and the mass before each of them (n + 1,)."""
        n = len(self.alignment)
        if self.masses is None:
            return np.sort(self.alignment), np.arange(n + 1) / n
        order = np.argsort(self.alignment)
        return self.alignment[order], np.append(0.0, np.cumsum(self.masses[order]))


def concentration(
    state: State, problem: Problem, *, evaluator: str | None = "auto", threads: int | None = None
) -> Concentration:
    """Measure how a state concentrates on the principal subspace (Arnaboldi et al. 2023).

    Parameters
    ----------
    state : ParticleMeasure, Overlaps or Weights
        For example ``solution.states[i]``. A measure stands for infinite width, where pairs of
        neurons meet at every perpendicular angle; overlaps and weights know theirs.
    problem : Problem
        Its activation and, for a measure, its dimension define f.
    evaluator : str
        How a measure's field is evaluated; see `meanfield.solve_mean_field`.
    threads : int, optional
        Threads for the kernels; the numbers do not depend on it.

    Returns
    -------
    Concentration

    Raises
    ------
    TypeError, ValueError
        If the state is of another kind, or not of the problem's subspace.

    Notes
    -----
    Given z, the perpendicular parts of two neurons are jointly Gaussian at finite width. With
    I(q, q', c) = E σ(x) σ(y) for variances q, q' and covariance c,

        E Var(f | z) = (1/p²) Σ_ij a_i a_j [I(Q_ii, Q_jj, Q_ij) − I(Q_ii, Q_jj, u_i·u_j)],

    the difference taken pair by pair, before it can cancel; E f² is the sum of the first terms.
    For a measure the same is averaged over the overlap of two perpendicular directions.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> start = mf.gaussian_measure(problem, n=1000)
    >>> round(mf.projection.concentration(start, problem).energy, 2)
    0.01
    """
    checks.instance(problem, "problem", Problem)
    evaluator = check_evaluator(evaluator)
    neurons = split(state, problem)
    with thread_limit(checks.thread_count(threads)):
        field = None
        if isinstance(state, ParticleMeasure):
            field = choose_field(problem, state, evaluator, tolerance=TOLERANCE, still=True)
        return concentration_of(neurons, variance_parts(neurons, state, problem, field))


def concentration_of(
    neurons: Neurons, parts: tuple[float, float] = (math.nan, math.nan)
) -> Concentration:
    """Where neurons lie; `parts` are E Var(f | z) and E f² of the function they make."""
    inside, whole = (neurons.u**2).sum(axis=1), neurons.q
    alignment = np.divide(inside, whole, out=np.zeros_like(whole), where=whole > 0)
    total = float(neurons.masses @ whole)
    outside, all_of_it = parts
    return Concentration(
        alignment=alignment,
        energy=float(neurons.masses @ inside) / total if total > 0 else 0.0,
        leak=outside / all_of_it if all_of_it > 0 else 0.0,
        leak_variance=outside,
        function_energy=all_of_it,
        masses=None if np.ptp(neurons.masses) == 0.0 else neurons.masses,
    )


def variance_parts(
    neurons: Neurons, state: State, problem: Problem, field: Field | None = None
) -> tuple[float, float]:
    """E Var(f | z) and E f²; `field` serves a measure, if at hand."""
    if isinstance(state, ParticleMeasure):
        if field is None:
            field = choose_field(problem, state, tolerance=TOLERANCE, still=True)
        while field.outgrown(*state.arrays()) and field.grow(*state.arrays()):
            pass
        outside, total = field.variance_parts(neurons.a, neurons.u, neurons.r)
        # at d = ∞ f is a function of z alone; what is left there is rounding
        return (0.0 if math.isinf(problem.dim) else outside), total
    return _network_parts(neurons, problem)


def _network_parts(neurons: Neurons, problem: Problem) -> tuple[float, float]:
    """E Var(f | z) and E f² of a network, by blocks of rows."""
    q, student = neurons.q, problem.student
    outside = total = 0.0
    for rows, inside, perpendicular in neurons.blocks():
        full = pair_averages(student, student, q[rows], q, inside + perpendicular).value
        apart = pair_averages(student, student, q[rows], q, inside).value
        outside += float(neurons.a[rows] @ ((full - apart) @ neurons.a))
        total += float(neurons.a[rows] @ (full @ neurons.a))
    p_squared = neurons.n**2
    return max(outside / p_squared, 0.0), max(total / p_squared, 0.0)
