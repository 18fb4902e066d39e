"""What a study keeps of a run: named numbers of its states, and functions that reduce it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield import checks, projection
from meanfield.dynamics.solution import Solution
from meanfield.problem import Problem
from meanfield.states import Overlaps, ParticleMeasure, Weights
from meanfield.studies.parts import find_function, function_name

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
State = ParticleMeasure | Overlaps | Weights


class Look:
    """A state as the observables see it; what several of them need is computed once."""

    def __init__(self, problem: Problem, state: State):
        self.problem, self.state = problem, state

    @cached_property
    def overlaps(self) -> Overlaps:
        """Of a network of finite width."""
        if isinstance(self.state, ParticleMeasure):
            raise ValueError(
                "overlaps are kept of networks of finite width, not of mean-field runs"
            )
        return self.state.overlaps() if isinstance(self.state, Weights) else self.state

    @cached_property
    def measure(self) -> ParticleMeasure:
        """The law of the neurons."""
        if isinstance(self.state, ParticleMeasure):
            return self.state
        return self.overlaps.measure()

    @cached_property
    def concentration(self) -> projection.Concentration:
        """The leak and its parts, which need the field."""
        return projection.concentration(self.measure, self.problem)

    @cached_property
    def inside(self) -> NDArray[np.float64]:
        """|u|² of each neuron."""
        return np.asarray((self.measure.u**2).sum(axis=1))

    @cached_property
    def whole(self) -> NDArray[np.float64]:
        """|u|² + r² of each neuron."""
        return self.inside + self.measure.r**2

    @cached_property
    def alignment(self) -> NDArray[np.float64]:
        """Of each neuron; a neuron of length 0 has alignment 0, as in `projection`."""
        return np.divide(
            self.inside, self.whole, out=np.zeros_like(self.whole), where=self.whole > 0
        )

    def mean(self, values: NDArray[np.float64]) -> float:
        """Average over the neurons by their masses."""
        return float(self.measure.masses @ values)

    def quantiles(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """At `QUANTILES`, by mass: the smallest value with at least that mass at or below it."""
        order = np.argsort(values, kind="stable")
        mass = np.cumsum(self.measure.masses[order])
        at = np.searchsorted(mass, np.array(QUANTILES) * mass[-1] * (1 - 1e-12))
        return np.asarray(values[order][np.minimum(at, len(values) - 1)])


@dataclass(frozen=True)
class Observable:
    """A number or an array of a state, and the names of the array's axes."""

    description: str
    measure: Callable[[Look], Any]
    dims: tuple[str, ...] = ()


def _energy(look: Look) -> float:
    total = look.mean(look.whole)
    return look.mean(look.inside) / total if total > 0 else 0.0


OBSERVABLES: dict[str, Observable] = {
    "energy": Observable("E|u|²/E(|u|² + r²), the share of the squared weights inside", _energy),
    "alignment": Observable(
        "mean over the neurons of |u|²/(|u|² + r²)", lambda look: look.mean(look.alignment)
    ),
    "alignment_quantiles": Observable(
        "of the neurons' alignments, at 5, 25, 50, 75 and 95 %",
        lambda look: look.quantiles(look.alignment),
        ("quantile",),
    ),
    "leak": Observable("E Var(f | z)/E f²", lambda look: look.concentration.leak),
    "leak_variance": Observable("E Var(f | z)", lambda look: look.concentration.leak_variance),
    "function_energy": Observable("E f²", lambda look: look.concentration.function_energy),
    "squared_length": Observable("mean of |u|² + r²", lambda look: look.mean(look.whole)),
    "second_layer": Observable("mean of a", lambda look: look.mean(look.measure.a)),
    "mean_direction": Observable(
        "mean of u, in each principal coordinate",
        lambda look: look.measure.masses @ look.measure.u,
        ("coordinate",),
    ),
    "second_moments": Observable(
        "mean of u uᵀ",
        lambda look: (look.measure.u.T * look.measure.masses) @ look.measure.u,
        ("coordinate", "other_coordinate"),
    ),
    "Q": Observable(
        "overlaps between neurons (finite width)",
        lambda look: look.overlaps.Q,
        ("neuron", "other_neuron"),
    ),
    "M": Observable(
        "overlaps with the target (finite width)",
        lambda look: look.overlaps.M,
        ("neuron", "target_neuron"),
    ),
}
RISK = "risk"


def check_observables(names: Any) -> list[str]:
    """The names, each known or of a function that can be found, in order, once each."""
    given = [names] if isinstance(names, str) or callable(names) else names
    if not isinstance(given, Iterable) or isinstance(given, Mapping):
        raise TypeError(f"observables must be a list of names and functions, got {names!r}")
    checked = []
    for i, item in enumerate(given):
        place = f"observables[{i}]"
        name = function_name(item, place) if callable(item) else item
        checked.append(name)
        if isinstance(name, str) and ":" in name:
            try:
                find_function(name)
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from error
        else:
            checks.option(name, place, (RISK, *OBSERVABLES, "module:function"))
            if name == "module:function":
                raise ValueError(f"{place} must name a function of yours, got {name!r}")
    if len(set(checked)) < len(checked):
        raise ValueError(f"observables must differ from each other, got {checked}")
    return checked


def evaluate(names: list[str], solution: Solution) -> dict[str, NDArray[Any]]:
    """The observables of a run: t, then one array a name, over runs and times where it has them."""
    found: dict[str, NDArray[Any]] = {"t": np.asarray(solution.t)}
    wanted = [name for name in names if name in OBSERVABLES]
    for name in names:
        if name == RISK:
            found[RISK] = np.asarray(solution.risk)
        elif ":" in name:
            _reduce(name, solution, found)
    if wanted:
        found |= _along(wanted, solution)
    return found


def _along(names: list[str], solution: Solution) -> dict[str, NDArray[Any]]:
    series = solution.states
    every = [state for run in series for state in run] if len(series.shape) > 1 else series
    rows: dict[str, list[Any]] = {name: [] for name in names}
    for state in every:
        look = Look(solution.problem, state)
        for name in names:
            rows[name].append(OBSERVABLES[name].measure(look))
    return {
        name: np.array(values).reshape(*series.shape, *np.shape(values[0] if values else 0.0))
        for name, values in rows.items()
    }


def _reduce(name: str, solution: Solution, found: dict[str, NDArray[Any]]) -> None:
    """Run a user's function; its result must be numbers."""
    value = find_function(name)(solution)
    own = name.partition(":")[2]
    for key, item in (value if isinstance(value, Mapping) else {own: value}).items():
        array = np.asarray(item)
        if array.dtype.kind not in "biufc":
            raise TypeError(f"{name} must return numbers, got {key} = {item!r}")
        if key in found:
            raise ValueError(f"{name} must not return {key!r}, which is taken")
        found[str(key)] = array
