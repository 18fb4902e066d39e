"""How far the neurons have come to the principal subspace of the target."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield import checks
from meanfield.dynamics.solution import Solution
from meanfield.fields import Field, choose_field
from meanfield.kernels.options import thread_limit
from meanfield.problem import Problem
from meanfield.states import ParticleMeasure


@dataclass(frozen=True, eq=False)
class Concentration:
    """Where the mass of a measure lies with respect to the principal subspace.

    Attributes
    ----------
    alignment : ndarray, shape (n,)
        |u|²/(|u|² + r²) of each neuron: 1 in the subspace, 0 orthogonal to it. A neuron of length
        zero has no direction; its alignment is 0.
    energy : float
        E|u|²/E(|u|² + r²), the share of the squared weights that lies in the subspace.
    leak : float
        E Var(f | z)/E f², the share of the function that depends on inputs outside the subspace;
        0 at d = ∞. Where f itself is near 0 the ratio means little: see its two parts.
    leak_variance, function_energy : float
        E Var(f | z) and E f².
    """

    alignment: NDArray[np.float64]
    energy: float
    leak: float
    leak_variance: float
    function_energy: float

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
        ordered = np.sort(self.alignment)
        below = np.searchsorted(ordered, np.cos(angles) ** 2 - 1e-15, side="left")
        share = np.where(angles >= math.pi / 2, 1.0, 1.0 - below / len(ordered))
        return float(share) if angles.ndim == 0 else share


def concentration(
    state: ParticleMeasure, problem: Problem, *, threads: int | None = None
) -> Concentration:
    """Measure how a state concentrates on the principal subspace (Arnaboldi et al. 2023).

    Parameters
    ----------
    state : ParticleMeasure
        For example ``solution.states[i]``.
    problem : Problem
        Its activation and dimension define f.
    threads : int, optional
        Threads for the kernels; the numbers do not depend on it.

    Returns
    -------
    Concentration

    Raises
    ------
    TypeError, ValueError
        If the state is not a measure of the problem's subspace dimension.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> start = mf.gaussian_measure(problem, n=1000)
    >>> round(mf.projection.concentration(start, problem).energy, 2)
    0.01
    """
    checks.instance(state, "state", ParticleMeasure)
    checks.instance(problem, "problem", Problem)
    with thread_limit(threads):
        return _measure(state, choose_field(problem, state))


@dataclass(frozen=True, eq=False)
class ConcentrationCurves:
    """Concentration along a run: arrays over the saved times (T,); see `Concentration`."""

    t: NDArray[np.float64]
    energy: NDArray[np.float64]
    mean_alignment: NDArray[np.float64]
    leak: NDArray[np.float64]
    leak_variance: NDArray[np.float64]
    function_energy: NDArray[np.float64]


def along(solution: Solution, *, threads: int | None = None) -> ConcentrationCurves:
    """Concentration at every saved state of a mean-field run.

    Parameters
    ----------
    solution : Solution
        Of `solve_mean_field`, with its states kept.
    threads : int, optional
        Threads for the kernels.

    Returns
    -------
    ConcentrationCurves

    Raises
    ------
    ValueError
        If the solution does not hold a measure for every saved time.
    """
    checks.instance(solution, "solution", Solution)
    if solution.states.kind != "ParticleMeasure" or len(solution.states) != len(solution.t):
        raise ValueError("solution must hold a ParticleMeasure for every saved time")
    if len(solution.t) == 0:
        raise ValueError("solution must hold at least one saved time, got none")
    with thread_limit(threads):
        field = choose_field(solution.problem, solution.final, many_values=True)
        found = [_measure(state, field) for state in solution.states]
    return ConcentrationCurves(
        t=solution.t,
        energy=np.array([c.energy for c in found]),
        mean_alignment=np.array([c.alignment.mean() for c in found]),
        leak=np.array([c.leak for c in found]),
        leak_variance=np.array([c.leak_variance for c in found]),
        function_energy=np.array([c.function_energy for c in found]),
    )


def _measure(state: ParticleMeasure, field: Field) -> Concentration:
    inside = (state.u**2).sum(axis=1)
    whole = inside + state.r**2
    alignment = np.divide(inside, whole, out=np.zeros_like(whole), where=whole > 0)
    total = float(whole.sum())
    outside, all_of_it = field.variance_parts(*state.arrays())
    return Concentration(
        alignment=alignment,
        energy=float(inside.sum()) / total if total > 0 else 0.0,
        leak=outside / all_of_it if all_of_it > 0 else 0.0,
        leak_variance=outside,
        function_energy=all_of_it,
    )
