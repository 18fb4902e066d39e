"""Concentration in time: curves along a run, from its states or while it runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.dynamics.solution import Solution
from meanfield.fields import Field, choose_field
from meanfield.kernels.options import thread_limit
from meanfield.problem import Problem
from meanfield.projection.alignment import Concentration, State, measure_neurons
from meanfield.projection.neurons import Neurons, split
from meanfield.projection.perpendicular import root_mean_square
from meanfield.projection.subspace import subspace
from meanfield.states import ParticleMeasure

Array = NDArray[np.float64]
Observable = Callable[[float, State], Any]

ANGLES = (math.pi / 12, math.pi / 6, math.pi / 4, math.pi / 3)
FRACTIONS = (0.1, 0.25, 0.5, 0.75, 0.9)
NUMBERS = ("energy", "mean_alignment", "leak", "leak_variance", "function_energy")


@dataclass(frozen=True, eq=False)
class ConcentrationCurves:
    """Concentration along a run: arrays over the saved times, (T,), or (runs, T) for SGD.

    Attributes
    ----------
    t : ndarray, shape (T,)
        Saved times.
    energy, mean_alignment, leak, leak_variance, function_energy : ndarray
        See `Concentration`.
    perpendicular : ndarray
        Root mean square of r_i r_j θ_i·θ_j over pairs of neurons; see `perpendicular_overlaps`.
    principal_angles : ndarray, with an axis (k,) behind
        See `principal_angles`; NaN where the network is too narrow or too flat to have them.
    mass_within : ndarray, with an axis (len(angles),) behind
        Share of the neurons within each of `angles`.
    angle_of : ndarray, with an axis (len(fractions),) behind
        Angle within which each of `fractions` of the mass lies.
    angles, fractions : ndarray
        Radians, and shares of the mass.
    """

    t: Array
    energy: Array
    mean_alignment: Array
    leak: Array
    leak_variance: Array
    function_energy: Array
    perpendicular: Array
    principal_angles: Array
    mass_within: Array
    angle_of: Array
    angles: Array
    fractions: Array


class _Reader:
    """What the observables of one moment share: the split state and its concentration."""

    def __init__(self, problem: Problem):
        self.problem = problem
        self.field: Field | None = None
        self.last: tuple[State, Neurons, Concentration] | None = None

    def __call__(self, state: State) -> tuple[Neurons, Concentration]:
        if self.last is None or self.last[0] is not state:
            neurons = split(state, self.problem)
            if self.field is None and isinstance(state, ParticleMeasure):
                self.field = choose_field(self.problem, state, many_values=True)
            found = measure_neurons(neurons, state, self.problem, self.field)
            self.last = state, neurons, found
        return self.last[1:]


def observables(
    problem: Problem, *, angles: Sequence[float] = ANGLES, fractions: Sequence[float] = FRACTIONS
) -> dict[str, Observable]:
    """Ready-made observables of a run, for the ``observables`` of the solvers.

    Recorded at the saved times while the run goes on, they give every curve of `along` without
    keeping a state.

    Parameters
    ----------
    problem : Problem
    angles : sequence of float
        Of ``"mass_within"``: radians, in [0, π/2].
    fractions : sequence of float
        Of ``"angle_of"``: shares of the mass, in (0, 1].

    Returns
    -------
    dict of str to callable
        From (t, state) to a number or an array, by the names of `ConcentrationCurves`:
        ``"energy"``, ``"mean_alignment"``, ``"leak"``, ``"leak_variance"``,
        ``"function_energy"``, ``"perpendicular"``, ``"principal_angles"``, ``"mass_within"``,
        and for each fraction, 0.9 say, ``"angle_of_0.9"``.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> energy = mf.projection.observables(problem)["energy"]
    >>> round(energy(0.0, mf.gaussian_measure(problem, n=1000)), 2)
    0.01
    """
    checks.instance(problem, "problem", Problem)
    within = checks.array(angles, "angles", (None,))
    shares = checks.array(fractions, "fractions", (None,))
    Concentration(np.ones(1), 1.0, 0.0, 0.0, 1.0).mass_within(within)  # refuses what is no angle
    Concentration(np.ones(1), 1.0, 0.0, 0.0, 1.0).angle_of(shares)
    read = _Reader(problem)
    found: dict[str, Observable] = {name: partial(_number, read, name) for name in NUMBERS}
    found["perpendicular"] = partial(_perpendicular, read)
    found["principal_angles"] = partial(_principal_angles, problem)
    found["mass_within"] = partial(_mass_within, read, within)
    for share in shares.tolist():
        found[fraction_name(share)] = partial(_angle_of, read, share)
    return found


def fraction_name(fraction: float) -> str:
    """The observable that holds the angle of a fraction of the mass."""
    return f"angle_of_{fraction:g}"


def _number(read: _Reader, name: str, t: float, state: State) -> float:
    return float(getattr(read(state)[1], name))


def _perpendicular(read: _Reader, t: float, state: State) -> float:
    return root_mean_square(read(state)[0], read.problem.perpendicular_dim)


def _mass_within(read: _Reader, angles: Array, t: float, state: State) -> Any:
    return read(state)[1].mass_within(angles)


def _angle_of(read: _Reader, fraction: float, t: float, state: State) -> Any:
    return read(state)[1].angle_of(fraction)


def _principal_angles(problem: Problem, t: float, state: State) -> Array:
    try:
        return subspace(state, problem).angles
    except ValueError:  # fewer neurons than directions, or neurons all parallel
        return np.full(problem.subspace_dim, math.nan)


def along(
    solution: Solution,
    *,
    angles: Sequence[float] = ANGLES,
    fractions: Sequence[float] = FRACTIONS,
    threads: int | None = None,
) -> ConcentrationCurves:
    """Concentration at every saved state of a run, under any description.

    Parameters
    ----------
    solution : Solution
        With its states kept, or run with ``observables=mf.projection.observables(problem)``; then
        `angles` and `fractions` must be those given there.
    angles, fractions : sequence of float
        See `observables`.
    threads : int, optional
        Threads for the kernels.

    Returns
    -------
    ConcentrationCurves

    Raises
    ------
    ValueError
        If the solution holds neither a state for every saved time nor the observables.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> run = mf.solve_mean_field(problem, mf.gaussian_measure(problem, n=100), 1.0, save_at=3)
    >>> mf.projection.along(run).energy.shape
    (3,)
    """
    checks.instance(solution, "solution", Solution)
    if len(solution.t) == 0:
        raise ValueError("solution must hold at least one saved time, got none")
    wanted = observables(solution.problem, angles=angles, fractions=fractions)
    kept: Mapping[str, Any] = getattr(solution, "observables", None) or {}
    if not all(name in kept for name in wanted):
        kept = _from_states(solution, wanted, threads)
    return ConcentrationCurves(
        t=solution.t,
        **{name: np.asarray(kept[name]) for name in (*NUMBERS, "perpendicular")},
        principal_angles=np.asarray(kept["principal_angles"]),
        mass_within=np.asarray(kept["mass_within"]),
        angle_of=np.stack([kept[fraction_name(share)] for share in fractions], axis=-1),
        angles=np.array(angles),
        fractions=np.array(fractions),
    )


def _from_states(
    solution: Solution, wanted: Mapping[str, Observable], threads: int | None
) -> dict[str, Array]:
    """The observables at every saved state, stacked over (runs and) times."""
    shape = solution.states.shape
    if shape[-1] != len(solution.t):
        raise ValueError(
            "solution must hold a state for every saved time, or the observables of "
            "mf.projection.observables, recorded while it ran"
        )
    runs = solution.states if len(shape) > 1 else [solution.states]
    rows: dict[str, list[Any]] = {name: [] for name in wanted}
    with thread_limit(threads):
        for run in runs:
            for t, state in zip(solution.t, run, strict=True):
                for name, observe in wanted.items():
                    rows[name].append(observe(float(t), state))
    return {
        name: np.array(values).reshape(*shape, *np.shape(values[0]))
        for name, values in rows.items()
    }
