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
from meanfield.kernels.threads import thread_limit
from meanfield.problem import Problem
from meanfield.projection.alignment import Concentration, State, concentration_of, variance_parts
from meanfield.projection.neurons import split
from meanfield.projection.perpendicular import root_mean_square
from meanfield.projection.subspace import subspace

Array = NDArray[np.float64]
Observable = Callable[[float, State], Any]

ANGLES = (math.pi / 12, math.pi / 6, math.pi / 4, math.pi / 3)
FRACTIONS = (0.1, 0.25, 0.5, 0.75, 0.9)
NUMBERS = ("energy", "mean_alignment", "leak", "leak_variance", "function_energy")
SCALARS = (*NUMBERS, "perpendicular")  # one number for each state
ANGLE_OF = "angle_of_"  # before a share of the mass, in the name of an observable
CURVES = (*SCALARS, "principal_angles", "mass_within")


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

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> law = mf.gaussian_measure(problem, n=1000)
    >>> run = mf.solve_mean_field(problem, law, 1.0, save_at=5)
    >>> curves = mf.projection.along(run)
    >>> curves.energy.shape, bool(curves.energy[-1] > curves.energy[0])
    ((5,), True)
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
    """What the observables of one moment share; a function of the state alone.

    With a `field`, laid out for another state of the run, its leak agrees to the field's accuracy.
    """

    def __init__(self, problem: Problem, field: Field | None = None):
        self.problem, self.field = problem, field
        self.state: State | None = None

    def split_state(self, state: State) -> None:
        """Split a state, unless it is the one split last."""
        if self.state is not state:
            self.state = state
            self.neurons = split(state, self.problem)
            self.place = concentration_of(self.neurons)
            self.parts: tuple[float, float] | None = None

    def concentration(self, state: State, *, with_leak: bool) -> Concentration:
        """Where the neurons are, and what f owes to it if that is asked for."""
        self.split_state(state)
        if not with_leak:
            return self.place
        if self.parts is None:
            self.parts = variance_parts(self.neurons, state, self.problem, self.field)
            self.whole = concentration_of(self.neurons, self.parts)
        return self.whole


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
    return _observables(_Reader(problem), within, shares)


def _observables(read: _Reader, within: Array, shares: Array) -> dict[str, Observable]:
    found: dict[str, Observable] = {name: partial(_number, read, name) for name in NUMBERS}
    found["perpendicular"] = partial(_perpendicular, read)
    found["principal_angles"] = partial(_principal_angles, read.problem)
    found["mass_within"] = partial(_mass_within, read, within)
    for share in shares.tolist():
        found[fraction_name(share)] = partial(_angle_of, read, share)
    return found


def fraction_name(fraction: float) -> str:
    """The observable that holds the angle of a fraction of the mass."""
    return f"{ANGLE_OF}{fraction:g}"


def _number(read: _Reader, name: str, t: float, state: State) -> float:
    with_leak = name not in ("energy", "mean_alignment")
    return float(getattr(read.concentration(state, with_leak=with_leak), name))


def _perpendicular(read: _Reader, t: float, state: State) -> float:
    read.split_state(state)
    return root_mean_square(read.neurons, read.problem.perpendicular_dim)


def _mass_within(read: _Reader, angles: Array, t: float, state: State) -> Any:
    return read.concentration(state, with_leak=False).mass_within(angles)


def _angle_of(read: _Reader, fraction: float, t: float, state: State) -> Any:
    return read.concentration(state, with_leak=False).angle_of(fraction)


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
    observables(solution.problem, angles=angles, fractions=fractions)  # refuses what is neither
    if not len(fractions):
        raise ValueError("fractions must hold at least one fraction, got none")
    kept: Mapping[str, Any] = solution.observables
    if not all(name in kept for name in (*CURVES, *map(fraction_name, fractions))):
        kept = _from_states(solution, np.array(angles), np.array(fractions), threads)
    return ConcentrationCurves(
        t=solution.t,
        **{name: np.asarray(kept[name]) for name in CURVES},
        angle_of=np.stack([kept[fraction_name(share)] for share in fractions], axis=-1),
        angles=np.array(angles),
        fractions=np.array(fractions),
    )


def _from_states(
    solution: Solution, angles: Array, fractions: Array, threads: int | None
) -> dict[str, Array]:
    """The observables at every saved state, stacked over (runs and) times."""
    shape = solution.states.shape
    if shape[-1] != len(solution.t):
        raise ValueError(
            "solution must hold a state for every saved time, or the observables of "
            "mf.projection.observables, recorded while it ran"
        )
    runs = solution.states if len(shape) > 1 else [solution.states]
    with thread_limit(checks.thread_count(threads)):
        # one layout serves a whole run
        law = solution.states.kind == "ParticleMeasure"
        field = choose_field(solution.problem, solution.final, many_values=True) if law else None
        wanted = _observables(_Reader(solution.problem, field), angles, fractions)
        rows: dict[str, list[Any]] = {name: [] for name in wanted}
        for run in runs:
            for t, state in zip(solution.t, run, strict=True):
                for name, observe in wanted.items():
                    rows[name].append(observe(float(t), state))
    return {
        name: np.array(values).reshape(*shape, *np.shape(values[0]))
        for name, values in rows.items()
    }
