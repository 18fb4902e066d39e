"""A study as a value: what to run, over which grid, and what to keep of it.

An axis of the grid sets one place in a run, or several together.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from typing import Any, Self

import numpy as np

from meanfield import checks
from meanfield.studies.observables import check_observables
from meanfield.studies.parts import complete, complete_phases
from meanfield.studies.plain_values import digest, plain

PLACES = ("problem", "start", "solver")
PHASES = "phases"  # places are those of its entries, as "phases.0.t_end"
REPLICAS = "replicas"  # may be set at a point of the grid too: a limit without chance needs one
RUN_FORMAT = 1  # part of every run's key: raised when the same words come to mean another run


@dataclass(frozen=True)
class Run:
    """One run of a study, in plain values that travel and can be hashed.

    Attributes
    ----------
    index : tuple of int
        Its place on the study's axes, the replica last.
    parameters : dict
        ``problem``, ``start``, ``solver``, ``observables`` and ``seeds`` (start's, solver's).
    key : str
        Hash of the parameters: equal runs have equal keys, whatever the study.

    Examples
    --------
    >>> import meanfield as mf
    >>> study = mf.Study(
    ...     problem=mf.Problem(mf.CommitteeTarget(k=1)),
    ...     start={"law": "gaussian_measure", "n": 50},
    ...     solver={"description": "mean_field", "t_end": 1.0},
    ...     grid={"problem.dim": [10, 100]},
    ... )
    >>> study.runs[1].index, study.runs[1].parameters["problem"]["dim"]
    ((1, 0), 100)
    """

    index: tuple[int, ...]
    parameters: Mapping[str, Any]
    key: str


@dataclass(frozen=True, eq=False)
class Specification:
    """What a `Study` is, in plain values: all of it but how its runs are made."""

    problem: Any
    start: Mapping[str, Any]
    solver: Mapping[str, Any]
    observables: Sequence[str | Callable[..., Any]] = ("risk",)
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    replicas: int = 1
    seed: int = 0
    name: str = "study"
    independent: bool = False
    phases: Sequence[Mapping[str, Any]] = ()
    runs: tuple[Run, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        checks.instance(self.name, "name", str)
        checks.instance(self.independent, "independent", bool)
        values: dict[str, Any] = {
            "observables": check_observables(self.observables),
            "replicas": checks.integer(self.replicas, "replicas"),
            "seed": checks.integer(self.seed, "seed", minimum=0),
            "grid": _check_grid(self.grid),
        }
        for place in PLACES:
            values[place] = plain(getattr(self, place), place)
            checks.instance(values[place], place, dict)
        values[PHASES] = plain(self.phases, PHASES)
        for name, value in values.items():
            object.__setattr__(self, name, value)
        runs = tuple(self._enumerate())
        if len({run.key for run in runs}) < len(runs):
            raise ValueError("grid must not ask for the same run twice")
        object.__setattr__(self, "runs", runs)

    @classmethod
    def from_parameters(cls, values: Mapping[str, Any]) -> Self:
        """Build the study that `parameters` described."""
        allowed = [f.name for f in fields(cls) if f.init]
        for key in values:
            if key not in allowed:
                raise ValueError(f"{key} is not known; allowed: {', '.join(allowed)}")
        for key in PLACES:
            if key not in values:
                raise ValueError(f"{key} is missing")
        return cls(**values)

    @classmethod
    def recorded(cls, parameters: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> Self:
        """A study as a store remembers it: nothing it names is looked for, let alone imported.

        Its runs know their seeds alone of their parameters; the records know the rest.
        """
        study = object.__new__(cls)
        for f in (f for f in fields(cls) if f.init):
            given = f.default is MISSING or f.name in parameters  # what is newer may not be there
            object.__setattr__(study, f.name, parameters[f.name] if given else f.default)
        made = tuple(Run(tuple(r["index"]), {"seeds": r["seeds"]}, r["key"]) for r in runs)
        object.__setattr__(study, "runs", made)
        return study

    def parameters(self) -> dict[str, Any]:
        """The specification in plain values: the schema of a study's TOML file."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        return {key: plain(value, key) for key, value in values.items()}

    @cached_property
    def hash(self) -> str:
        """See the class."""
        return digest(sorted(run.key for run in self.runs))

    def __eq__(self, other: object) -> bool:
        return self.hash == other.hash if isinstance(other, Specification) else NotImplemented

    def __hash__(self) -> int:
        return int(self.hash[:15], 16)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_parameters, (self.parameters(),)

    def _enumerate(self) -> Iterator[Run]:
        """All runs, checked part by part."""
        base = {place: getattr(self, place) for place in (*PLACES, PHASES, REPLICAS)}
        for point in itertools.product(*(enumerate(values) for values in self.grid.values())):
            values = base
            for (_, value), axis in zip(point, self.grid, strict=True):
                for place, item in _settings_of(axis, value).items():
                    values = _put(values, place.split("."), item, place)
            replicas = checks.integer(values[REPLICAS], f"grid: {REPLICAS}")
            if replicas > self.replicas:
                raise ValueError(f"grid: replicas must be at most {self.replicas}, got {replicas}")
            phases, values = values[PHASES], complete(values)
            if phases:  # no part of the key of a run that has one alone
                end = values["solver"]["t_end"]
                values[PHASES] = complete_phases(phases, values["problem"], end)
            own = (int(digest(values), 16),) if self.independent else ()
            for replica, pair in enumerate(_seeds((self.seed, *own), replicas)):
                parameters = {**values, "observables": list(self.observables), "seeds": pair}
                index = (*(i for i, _ in point), replica)
                yield Run(index, parameters, digest({"format": RUN_FORMAT, **parameters}))


def _seeds(entropy: tuple[int, ...], count: int) -> list[list[int]]:
    """Two for each replica, the start's and the solver's."""
    children = np.random.SeedSequence(entropy).spawn(count)
    return [[int(word) for word in child.generate_state(2)] for child in children]


def _check_grid(grid: Any) -> dict[str, list[Any]]:
    """The axes of a grid as plain values, each place on one axis only."""
    axes = plain(grid, "grid")
    checks.instance(axes, "grid", dict)
    seen: dict[str, str] = {}
    for axis, values in axes.items():
        if not isinstance(values, list) or not values:
            raise ValueError(f"grid.{axis} must be a list of at least one value, got {values!r}")
        for value in values:
            for place in _settings_of(axis, value):
                if place != REPLICAS and place.split(".")[0] not in (*PLACES, PHASES):
                    raise ValueError(
                        f"grid.{axis}: {place!r} is no place in a run; places start with "
                        + ", ".join((*PLACES, PHASES))
                    )
                if seen.setdefault(place, axis) != axis:
                    raise ValueError(f"grid.{axis}: {place} is set by grid.{seen[place]} as well")
    return axes


def _settings_of(axis: str, value: Any) -> dict[str, Any]:
    """Which places a value of an axis sets."""
    if "." in axis or axis in (*PLACES, PHASES):
        return {axis: value}
    if not isinstance(value, dict):
        raise ValueError(
            f"grid.{axis} is no place in a run, so its values must be mappings from places to "
            f"values, got {value!r}"
        )
    return value


def _put(values: dict[str, Any], path: list[str], item: Any, place: str) -> dict[str, Any]:
    """A copy with one entry replaced; copies only what lies on the way."""
    if len(path) == 1:
        return {**values, path[0]: item}
    below = values.get(path[0], {})
    if isinstance(below, list):  # of phases
        entries = dict(enumerate(below))
        i = int(path[1]) if path[1].isdecimal() else -1
        if i not in entries or len(path) < 3:
            raise ValueError(f"grid: there is nothing to set at {place!r}")
        entries[i] = _put(entries[i], path[2:], item, place)
        return {**values, path[0]: list(entries.values())}
    if not isinstance(below, dict):
        raise ValueError(f"grid: there is nothing to set at {place!r}")
    return {**values, path[0]: _put(below, path[1:], item, place)}
