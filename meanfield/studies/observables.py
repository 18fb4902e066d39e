"""What a study keeps of a run: named numbers of its states, and functions that reduce it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield import checks, projection
from meanfield.dynamics.solution import Solution
from meanfield.problem import Problem
from meanfield.projection.alignment import State
from meanfield.projection.curves import ANGLE_OF, ANGLES, SCALARS
from meanfield.projection.neurons import quantiles
from meanfield.states import Overlaps, ParticleMeasure, Weights
from meanfield.storage import HEADER, SEAL
from meanfield.studies.plain_values import find_function, importable_name

RISK, TIME = "risk", "t"
STOPPED = "stopped_at"  # kept of every run that may stop by itself
ERROR = "_error"  # ends the names of the estimates that solvers leave in their stats
CONCENTRATION, LAW = "concentration", "law"
WHOLE = {  # looked at once a run is over
    CONCENTRATION: f"{', '.join(SCALARS)}, all from one layout of the field: much cheaper together",
    LAW: "a, u and r of every neuron at the end, and their masses where they differ",
}
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Observable:
    """A number or an array of a state.

    Attributes
    ----------
    description : str
    measure : callable or None
        ``measure(state)``; None for those of `projection.observables`.
    dims : tuple of str
        Names of the array's axes.

    Examples
    --------
    >>> import meanfield as mf
    >>> mf.studies.OBSERVABLES["alignment_quantiles"].dims
    ('quantile',)
    """

    description: str
    measure: Callable[[State], Any] | None = None
    dims: tuple[str, ...] = ()


def _law(state: State) -> ParticleMeasure:
    return state if isinstance(state, ParticleMeasure) else state.measure()


def _overlaps(state: State) -> Overlaps:
    if isinstance(state, ParticleMeasure):
        raise ValueError("overlaps are kept of networks of finite width, not of mean-field runs")
    return state.overlaps() if isinstance(state, Weights) else state


def _lengths(law: ParticleMeasure) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    inside = (law.u**2).sum(axis=1)
    return inside, inside + law.r**2


def _alignment_quantiles(state: State) -> NDArray[np.float64]:
    law = _law(state)
    inside, whole = _lengths(law)
    alignment = np.divide(inside, whole, out=np.zeros_like(whole), where=whole > 0)
    return quantiles(alignment, law.masses, QUANTILES)


def _second_moments(state: State) -> NDArray[np.float64]:
    law = _law(state)
    return np.asarray((law.u.T * law.masses) @ law.u)


OBSERVABLES: dict[str, Observable] = {
    "energy": Observable("E|u|²/E(|u|² + r²), the share of the squared weights inside"),
    "mean_alignment": Observable("mean over the neurons of |u|²/(|u|² + r²)"),
    "alignment_quantiles": Observable(
        "of the neurons' alignments, at 5, 25, 50, 75 and 95 %", _alignment_quantiles, ("quantile",)
    ),
    "leak": Observable("E Var(f | z)/E f²"),
    "leak_variance": Observable("E Var(f | z)"),
    "function_energy": Observable("E f²"),
    "perpendicular": Observable("root mean square of r_i r_j θ_i·θ_j over pairs of neurons"),
    "principal_angles": Observable(
        "between the target's subspace and the learnt one", dims=("principal_angle",)
    ),
    "mass_within": Observable(
        "share of the neurons within 15°, 30°, 45° and 60° of the subspace", dims=("angle",)
    ),
    "squared_length": Observable(
        "mean of |u|² + r²", lambda state: _law(state).masses @ _lengths(_law(state))[1]
    ),
    "second_layer": Observable("mean of a", lambda state: _law(state).masses @ _law(state).a),
    "mean_direction": Observable(
        "mean of u, in each principal coordinate",
        lambda state: _law(state).masses @ _law(state).u,
        ("coordinate",),
    ),
    "second_moments": Observable(
        "mean of u uᵀ", _second_moments, ("coordinate", "other_coordinate")
    ),
    "Q": Observable(
        "overlaps between neurons (finite width)",
        lambda state: _overlaps(state).Q,
        ("neuron", "other_neuron"),
    ),
    "M": Observable(
        "overlaps with the target (finite width)",
        lambda state: _overlaps(state).M,
        ("neuron", "target_neuron"),
    ),
}
# what fluctuations add to a run of theirs, with the axes behind time
BANDS: dict[str, tuple[str, ...]] = {"covariance": ("overlap", "other_overlap")}
for _name, _dims in {
    RISK: (), "Q": OBSERVABLES["Q"].dims, "M": OBSERVABLES["M"].dims, "a": ("neuron",)
}.items():  # fmt: skip
    BANDS |= {f"{_name}_std": _dims, f"{_name}_bias": _dims}
COORDINATES = {"quantile": QUANTILES, "angle": ANGLES}


def named(name: str) -> Observable | None:
    """The observable of a name; ``"angle_of_0.9"`` is one for any share of the mass."""
    if re.fullmatch(ANGLE_OF + r"(1|0\.\d*[1-9])", name):
        share = 100.0 * float(name.removeprefix(ANGLE_OF))
        return Observable(f"angle to the subspace within which {share:g} % of the neurons lie")
    return OBSERVABLES.get(name)


def check_observables(names: Any) -> list[str]:
    """The names, each known or of a function that can be found, in order, once each."""
    given = [names] if isinstance(names, str) or callable(names) else names
    if not isinstance(given, Iterable) or isinstance(given, Mapping):
        raise TypeError(f"observables must be a list of names and functions, got {names!r}")
    checked = []
    for i, item in enumerate(given):
        place = f"observables[{i}]"
        name = importable_name(item, place) if callable(item) else item
        checked.append(name)
        if isinstance(name, str) and ":" in name:
            try:
                find_function(name)
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from error
        elif not (isinstance(name, str) and named(name)):
            known = (RISK, *OBSERVABLES, "angle_of_0.9", *WHOLE, "module:function")
            checks.option(name, place, known)
    if len(set(checked)) < len(checked):
        raise ValueError(f"observables must differ from each other, got {checked}")
    return checked


def watched(names: list[str], problem: Problem) -> dict[str, Callable[[float, State], Any]]:
    """For the ``observables`` of a solver: those among the names that look at states."""
    fractions = [float(n.removeprefix(ANGLE_OF)) for n in names if n.startswith(ANGLE_OF)]
    theirs = projection.observables(problem, fractions=fractions)
    found: dict[str, Callable[[float, State], Any]] = {}
    for name in names:
        observable = named(name)
        if observable is not None:
            own = observable.measure
            found[name] = theirs[name] if own is None else partial(_own, own)
    return found


def _own(measure: Callable[[State], Any], t: float, state: State) -> Any:
    return measure(state)


def reducers(names: list[str]) -> list[str]:
    """Those among the names that are functions of a whole run."""
    return [name for name in names if ":" in name]


def states_needed(names: list[str]) -> str:
    """What a solver is to keep: the ``"ends"``, the ``"overlaps"`` of every state, or ``"all"``."""
    if reducers(names):
        return "all"
    return "overlaps" if CONCENTRATION in names else "ends"


def gather(names: list[str], solution: Solution) -> dict[str, NDArray[Any]]:
    """What is kept of a run: t, then one array a name, over runs and times where it has them."""
    found: dict[str, NDArray[Any]] = {TIME: np.asarray(solution.t)}
    if STOPPED in solution.stats:
        found[STOPPED] = np.asarray(solution.stopped_at)
    if RISK in names:
        found[RISK] = np.asarray(solution.risk)
    if CONCENTRATION in names and len(solution.t):
        curves = projection.along(solution)
        found |= {name: getattr(curves, name) for name in SCALARS}
    if LAW in names and len(solution.t):
        final = solution.final[0] if isinstance(solution.final, list) else solution.final
        law = _law(final)
        found |= {"a": law.a, "u": law.u, "r": law.r}
        if law.mass is not None:
            found["mass"] = law.mass
    found |= {name: np.asarray(values) for name, values in solution.observables.items()}
    for name in reducers(names):
        _reduce(name, solution, found)
    return found


def _reduce(name: str, solution: Solution, found: dict[str, NDArray[Any]]) -> None:
    """Run a user's function; its result must be numbers."""
    value = find_function(name)(solution)
    own = name.partition(":")[2]
    for key, item in (value if isinstance(value, Mapping) else {own: value}).items():
        array = np.asarray(item)
        if array.dtype.kind not in "biufc":
            raise TypeError(f"{name} must return numbers, got {key} = {item!r}")
        if key in found or key in (HEADER, SEAL):  # parts of a file have one name each
            raise ValueError(f"{name} must not return {key!r}, which is taken")
        found[str(key)] = array
