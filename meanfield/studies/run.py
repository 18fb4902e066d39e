"""One run of a study: from plain values to a record, wherever it happens."""

from __future__ import annotations

import platform
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from meanfield._version import __version__
from meanfield.dynamics.checkpoint import CHECKPOINT_FORMAT, differing, machine, resumes_anywhere
from meanfield.integrate import Status
from meanfield.storage import read_archive
from meanfield.studies.claims import claimed
from meanfield.studies.executors import limited_threads
from meanfield.studies.observables import gather, states_needed, watched
from meanfield.studies.parts import SOLVERS, go_on, risks_of_phases, solver_of, start_law, takes
from meanfield.studies.plain_values import build_problem, digest, function_versions

FAILED, MISSING, TAKEN = "failed", "missing", "taken"
NOT_MADE = "not made yet"


@dataclass(frozen=True)
class Task:
    """What travels to a worker: a run, where it may leave a checkpoint, and its threads.

    Of a store also where the run is claimed, and where it lies once another process has made it.
    """

    key: str
    parameters: Mapping[str, Any]
    checkpoint: Path | None
    threads: int | None
    claim: Path | None = None
    made: Path | None = None


@dataclass(frozen=True)
class Record:
    """What is kept of a run.

    Attributes
    ----------
    key : str
        Hash of the parameters.
    parameters : dict
        ``problem``, ``start``, ``solver``, ``observables``, ``seeds``: enough to make it again.
    status, message : str
        As of `Solution`; or ``"failed"``: an error was raised, and ``"missing"``: not made yet.
    arrays : dict of str to ndarray
        ``"t"`` and the observables.
    stats : dict
        Counts and error estimates of the solution.
    traceback : str
        Of a run that failed.
    versions : dict
        Of the library, Python, NumPy, numba and BLAS, and which processor computed it;
        fingerprints of the user's functions in it.
    seconds : float
        How long it took, where it last ran.

    Examples
    --------
    >>> import meanfield as mf
    >>> study = mf.Study(
    ...     problem=mf.Problem(mf.CommitteeTarget(k=1)),
    ...     start={"law": "gaussian_measure", "n": 50},
    ...     solver={"description": "mean_field", "t_end": 1.0, "save_at": 3},
    ... )
    >>> record = study.run().records[0]
    >>> record.status, record.arrays["risk"].shape, record.versions["meanfield"] == mf.__version__
    ('success', (3,), True)
    """

    key: str
    parameters: Mapping[str, Any]
    status: str
    message: str = ""
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    stats: dict[str, Any] = field(default_factory=dict)
    traceback: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def made(self) -> bool:
        """Whether the run ended by itself, well or not."""
        return self.status not in (FAILED, MISSING, Status.INTERRUPTED)


def versions(parameters: Mapping[str, Any]) -> dict[str, str]:
    """What computed a result; the functions that the run names by their fingerprints."""
    return {
        "meanfield": __version__,
        "python": platform.python_version(),
        **machine(),
        **_functions(parameters),
    }


def _functions(parameters: Mapping[str, Any]) -> dict[str, str]:
    try:
        return function_versions(parameters)
    except ValueError:  # the run fails for it, and says so
        return {}


def make_run(task: Task) -> Record:
    """Make a run, unless another process has or does; an error becomes a record of its own."""
    with claimed(task.claim) as claim:
        if claim is None or (task.made is not None and task.made.exists()):
            return Record(task.key, task.parameters, TAKEN, "made by another process")
        record = _run_and_record(task)
        if record.status != Status.INTERRUPTED:
            claim.keep()
    return record


def _run_and_record(task: Task) -> Record:
    started, made_by = time.perf_counter(), versions(task.parameters)
    task, note = _with_usable_checkpoint(task)
    try:
        with limited_threads(task.threads):
            outcome = _solve(task)
    except (Exception, SystemExit) as error:  # whatever a user's function does
        outcome = {
            "status": FAILED,
            "message": f"{type(error).__name__}: {error}",
            "traceback": traceback.format_exc(),
        }
    outcome["message"] += note
    seconds = time.perf_counter() - started
    return Record(task.key, task.parameters, versions=made_by, seconds=seconds, **outcome)


def _with_usable_checkpoint(task: Task) -> tuple[Task, str]:
    """The task with a checkpoint that can be used, and what is to be said of one that cannot.

    A worker that does not see the folder makes the run without; a damaged file is set aside, under
    a name of its own, and the run starts again. That of a machine which rounds otherwise is left to
    it.
    """
    path = task.checkpoint
    if path is None or not path.parent.is_dir():
        return replace(task, checkpoint=None), ""
    if functions := _functions(task.parameters):
        # no function goes on from where another one stopped
        path = path.with_name(f"{path.name}-{digest(functions)[:16]}")
        task = replace(task, checkpoint=path)
    try:
        header, _ = read_archive(path, CHECKPOINT_FORMAT)
        elsewhere = differing(header.get("machine", {}))
        if elsewhere and not resumes_anywhere():
            mine = path.with_name(f"{path.name}-{digest(machine())[:8]}")
            note = f"; {path} of another machine was not used: {'; '.join(elsewhere)}"
            return replace(task, checkpoint=mine), note
    except FileNotFoundError:
        pass
    except ValueError as error:
        names = (path.with_name(f"{path.name}.damaged-{i}") for i in count(1))
        other = next(name for name in names if not name.exists())
        path.rename(other)
        return task, f"; its checkpoint could not be used and is now {other}: {error}"
    return task, ""


def _solve(task: Task) -> dict[str, Any]:
    parameters = task.parameters
    start_seed, solver_seed = parameters["seeds"]
    problem = build_problem(parameters["problem"])
    law, details = start_law(parameters["start"])
    if takes(law, "seed"):
        details.setdefault("seed", start_seed)
    solve, settings = solver_of(parameters["solver"])
    if takes(solve, "seed"):
        settings.setdefault("seed", solver_seed)
    names = parameters["observables"]
    phases = parameters.get("phases", [])
    observables = watched(names, problem) | risks_of_phases(parameters["problem"], phases)
    settings |= {"observables": observables, "checkpoint": task.checkpoint}
    kept = states_needed(names)
    # SGD alone can keep the overlaps of what it moves
    settings["keep"] = kept if kept == "ends" or solve is SOLVERS["sgd"] else "all"
    solution = solve(problem, law(problem, **details), **settings)
    solution = go_on(solution, phases, observables, task.checkpoint)
    arrays: dict[str, NDArray[Any]] = {}
    if solution.status != Status.INTERRUPTED:
        arrays = gather(names, solution)
    return {
        "status": str(solution.status),
        "message": solution.message,
        "arrays": arrays,
        "stats": dict(solution.stats),
    }
