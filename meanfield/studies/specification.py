"""A study as a value: what to run, over which grid, and what to keep of it."""

from __future__ import annotations

import itertools
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from meanfield import checks
from meanfield.studies.canonical import digest, plain
from meanfield.studies.grid import PLACES, REPLICAS, check_grid, put, settings_of
from meanfield.studies.observables import check_observables
from meanfield.studies.parts import complete

if TYPE_CHECKING:
    from meanfield.studies.results import StudyResults
    from meanfield.studies.watch import Callback

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
class Study:
    """Runs over a grid of problems, starts and solvers, as one frozen specification.

    All fields hold plain values, so that a study can be written down, hashed and sent; `from_toml`
    reads the same words from a file.

    Parameters
    ----------
    problem : Problem or mapping
        A problem, or what `Problem` takes, with the target as a mapping
        ``{"kind": "committee", "k": 2, ...}``.
    start : mapping
        ``"law"``: the name of a start such as ``"gaussian_measure"``, or ``"module:function"``
        of your own ``function(problem, ..., seed=)``; beside it the start's parameters.
    solver : mapping
        ``"description"``: ``"mean_field"``, ``"overlaps"`` or ``"sgd"``; beside it the solver's
        settings. ``"save_at"`` may also be a mapping with ``"spacing"`` (``"linear"`` or
        ``"logarithmic"``), ``"count"`` and ``"first"``.
    observables : sequence of str or callable
        What to keep at each saved time, by name (see `meanfield.studies.OBSERVABLES`), and
        functions ``function(solution)`` that reduce a whole run to a number, an array or a mapping
        of them, given as ``"module:function"`` or, if other processes can import it, itself.
    grid : mapping of str to sequence
        The axes. A key is a place in the above, such as ``"problem.dim"``, with the values it takes
        (``"problem"`` itself takes problems). Any other word names an axis whose values are
        mappings from places to values, which then change together; ``"replicas"`` may be among
        those places, where fewer will do.
    replicas : int
        Runs at every point of the grid, with seeds of their own.
    seed : int
        From which the replicas' seeds are spawned. Replica i has the same seeds at every point of
        the grid (common random numbers), and in every study with this seed: differences between
        points are free of what their draws share, and their errors are not independent.
    independent : bool
        Whether points of the grid have seeds of their own instead, which depend on the point's
        problem, start and solver, and not on its place: errors at different points are independent.
    name : str
        For people; not part of the hash.

    Attributes
    ----------
    runs : tuple of Run
        All runs, in order of the grid, replicas innermost.
    hash : str
        SHA-256 over the keys of the runs: independent of the order of keys, of the process and of
        the platform, and the same from Python as from a file.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; the message names it, as in ``start.n``.

    Examples
    --------
    >>> import math, meanfield as mf
    >>> study = mf.Study(
    ...     problem=mf.Problem(mf.CommitteeTarget(k=1)),
    ...     start={"law": "gaussian_measure", "n": 50},
    ...     solver={"description": "mean_field", "t_end": 1.0, "save_at": 3},
    ...     grid={"problem.dim": [10, 100, math.inf]},
    ... )
    >>> results = study.run()
    >>> results.array("risk").shape  # dimensions, replicas, times
    (3, 1, 3)
    """

    problem: Any
    start: Mapping[str, Any]
    solver: Mapping[str, Any]
    observables: Sequence[str | Callable[..., Any]] = ("risk",)
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    replicas: int = 1
    seed: int = 0
    name: str = "study"
    independent: bool = False
    runs: tuple[Run, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        checks.instance(self.name, "name", str)
        checks.instance(self.independent, "independent", bool)
        values: dict[str, Any] = {
            "observables": check_observables(self.observables),
            "replicas": checks.integer(self.replicas, "replicas"),
            "seed": checks.integer(self.seed, "seed", minimum=0),
            "grid": check_grid(self.grid),
        }
        for place in PLACES:
            values[place] = plain(getattr(self, place), place)
            checks.instance(values[place], place, dict)
        for name, value in values.items():
            object.__setattr__(self, name, value)
        runs = tuple(self._enumerate())
        if len({run.key for run in runs}) < len(runs):
            raise ValueError("grid must not ask for the same run twice")
        object.__setattr__(self, "runs", runs)

    def parameters(self) -> dict[str, Any]:
        """The specification in plain values: the schema of a study's TOML file."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        return {key: plain(value, key) for key, value in values.items()}

    @cached_property
    def hash(self) -> str:
        """See the class."""
        return digest(sorted(run.key for run in self.runs))

    def __eq__(self, other: object) -> bool:
        return self.hash == other.hash if isinstance(other, Study) else NotImplemented

    def __hash__(self) -> int:
        return int(self.hash[:15], 16)

    def __reduce__(self) -> tuple[Any, ...]:
        return study_from_parameters, (self.parameters(),)

    @staticmethod
    def from_toml(path: str | os.PathLike[str]) -> Study:
        """Read a study from a TOML file, with the arguments of `Study` as its keys.

        Raises
        ------
        OSError
            If there is no such file, or it cannot be read.
        ValueError
            If it is no TOML, or not a study; the message names the file and the key.
        """
        try:
            with Path(path).open("rb") as stream:
                return study_from_parameters(tomllib.load(stream))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error

    def run(
        self,
        executor: Executor | None = None,
        store: str | os.PathLike[str] | None = None,
        *,
        threads: int | None = None,
        progress: bool = False,
        retry: bool = False,
        extend: bool = False,
        callback: Callback | None = None,
    ) -> StudyResults:
        """Make the runs that are not in the store yet, and return the results of all.

        Parameters
        ----------
        executor : concurrent.futures.Executor, optional
            Where to run: see `meanfield.studies.ProcessPool`, Dask's ``client.get_executor()``,
            mpi4py's pools; None: here, one run after another.
        store : path, optional
            A folder. Every finished run is written there at once, whole or not at all, and long
            runs leave checkpoints; the same call after an interruption, however abrupt, goes on
            from there and ends with the same results to the last bit.
        threads : int, optional
            Threads of each run; all here, one under an executor. Results do not depend on it.
        progress : bool
            A bar in terminals and notebooks, lines on the standard error elsewhere.
        retry : bool
            Make again the runs that failed with an error before.
        extend : bool
            Let this study take over a store that holds another: runs that both have are kept.
        callback : callable, optional
            ``callback(step)`` after each run, see `meanfield.studies.Step`.

        Returns
        -------
        StudyResults
            A run that raised an error is there with its traceback. Runs that Ctrl-C left out, or
            that the machine failed, are missing; the next call makes them.

        Raises
        ------
        OSError
            If the store cannot be written (full, read-only); the message names the file.
        ValueError
            If the store holds another study, or a damaged or foreign file; the message names it.
        RuntimeError
            If the executor takes no runs, or loses all of them.
        """
        from meanfield.studies.campaign import run_study

        whole = "problem" in self.runs[0].parameters  # or as a store remembers it
        study = self if whole else study_from_parameters(self.parameters())
        return run_study(study, executor, store, threads, progress, retry, extend, callback)

    def _enumerate(self) -> Iterator[Run]:
        """All runs, checked part by part."""
        base = {place: getattr(self, place) for place in (*PLACES, REPLICAS)}
        for point in itertools.product(*(enumerate(values) for values in self.grid.values())):
            values = base
            for (_, value), axis in zip(point, self.grid, strict=True):
                for place, item in settings_of(axis, value).items():
                    values = put(values, place.split("."), item, place)
            replicas = checks.integer(values[REPLICAS], f"grid: {REPLICAS}")
            if replicas > self.replicas:
                raise ValueError(f"grid: replicas must be at most {self.replicas}, got {replicas}")
            values = complete(values)
            own = (int(digest(values), 16),) if self.independent else ()
            for replica, pair in enumerate(_seeds((self.seed, *own), replicas)):
                parameters = {**values, "observables": list(self.observables), "seeds": pair}
                index = (*(i for i, _ in point), replica)
                yield Run(index, parameters, digest({"format": RUN_FORMAT, **parameters}))


def _seeds(entropy: tuple[int, ...], count: int) -> list[list[int]]:
    """Two for each replica, the start's and the solver's."""
    children = np.random.SeedSequence(entropy).spawn(count)
    return [[int(word) for word in child.generate_state(2)] for child in children]


def recorded_study(parameters: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> Study:
    """A study as a store remembers it: nothing it names is looked for, let alone imported.

    Its runs know their seeds alone of their parameters; the records know the rest.
    """
    study = object.__new__(Study)
    for f in (f for f in fields(Study) if f.init):
        given = f.default is MISSING or f.name in parameters  # what is newer may not be there
        object.__setattr__(study, f.name, parameters[f.name] if given else f.default)
    made = tuple(Run(tuple(r["index"]), {"seeds": r["seeds"]}, r["key"]) for r in runs)
    object.__setattr__(study, "runs", made)
    return study


def study_from_parameters(values: Mapping[str, Any]) -> Study:
    """Build the study that `Study.parameters` described."""
    allowed = [f.name for f in fields(Study) if f.init]
    for key in values:
        if key not in allowed:
            raise ValueError(f"{key} is not known; allowed: {', '.join(allowed)}")
    for key in PLACES:
        if key not in values:
            raise ValueError(f"{key} is missing")
    return Study(**values)
