"""The one driver of all solvers: what is asked of a run, and how it is carried out.

A solver checks what is its own, states the settings that decide its numbers, and hands over a
description that is ready to move. Everything else is here, once: the checks that all share, what
identifies a call, its checkpoint, threads and progress bar, the verdict, and the solution.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.dynamics.accuracy import Estimate, final_status
from meanfield.dynamics.checkpoint import CheckpointFile, PathLike, describe_call
from meanfield.dynamics.observables import Measurements
from meanfield.dynamics.solution import Solution
from meanfield.dynamics.state_series import StateSeries
from meanfield.dynamics.stops import Stops
from meanfield.integrate import Status, Trajectory
from meanfield.integrate.explicit import METHODS
from meanfield.integrate.interrupts import raising_on_sigterm, return_or_raise
from meanfield.integrate.records import Checkpoint, check_times
from meanfield.kernels.threads import thread_limit
from meanfield.problem import Problem
from meanfield.progress import progress_bar
from meanfield.states import Overlaps, ParticleMeasure, Weights
from meanfield.targets import has_gram
from meanfield.until import check_until

Array = NDArray[np.float64]
Advance = Callable[[float], None]

KEEPS = ("all", "ends")


@dataclass(frozen=True)
class Request:
    """What is asked of a run under any description.

    Attributes
    ----------
    t_end : float
    times : ndarray, shape (T,)
        When to record.
    keep : str
        Which of the recorded states to keep.
    measurements : Measurements
        What to measure at these times.
    checkpoint : path or None
    threads : int or None
    progress : bool
    stops : Stops or None
        What may end it before.
    """

    t_end: float
    times: Array
    keep: str
    measurements: Measurements
    checkpoint: PathLike | None = None
    threads: int | None = None
    progress: bool = False
    stops: Stops | None = None

    @classmethod
    def checked(
        cls,
        t_end: Any,
        save_at: Any = None,
        keep: Any = "all",
        measurements: Measurements | None = None,
        checkpoint: PathLike | None = None,
        threads: Any = None,
        progress: Any = False,
        *,
        keeps: Sequence[str] = KEEPS,
        until: Any = None,
    ) -> Request:
        """The request in a user's arguments; raises where one is not as it should be."""
        t_end = checks.real(t_end, "t_end", above=0.0)
        return cls(
            t_end,
            check_times(save_at, t_end),
            checks.option(keep, "keep", keeps),
            Measurements(None) if measurements is None else measurements,
            checkpoint,
            checks.thread_count(threads),
            checks.switch(progress, "progress"),
            None if until is None else Stops(check_until(until)),
        )

    def keeps(self, t: float) -> bool:
        """Whether the state at this one of the times is kept."""
        return self.keep != "ends" or t in (self.times[0], self.times[-1]) or self.ends(t)

    def ends(self, t: float) -> bool:
        """Whether the run ends at this time, be it stopped."""
        return t == self.t_end or (self.stops is not None and t == self.stops.at)


class Tolerances(NamedTuple):
    """How a description that is a differential equation is integrated."""

    rtol: float = 1e-6
    atol: float | None = None
    method: str = "auto"

    @classmethod
    def checked(cls, rtol: Any, atol: Any, method: Any = "auto") -> Tolerances:
        """From a user's arguments; raises where one is not as it should be."""
        return cls(
            checks.real(rtol, "rtol", above=0.0),
            None if atol is None else checks.real(atol, "atol", above=0.0),
            checks.option(method, "method", METHODS),
        )


class Result(NamedTuple):
    """What a description makes of its trajectory.

    `estimates` are errors beside those in `stats`, `remarks` what the message adds, `parameters`
    what the solution says of the run beside its settings, and `observables` what the description
    itself measures.
    """

    risk: Array
    states: StateSeries
    stats: dict[str, Any]
    estimates: Sequence[Estimate] = ()
    remarks: str = ""
    parameters: Mapping[str, Any] = {}
    observables: Mapping[str, Array] = {}


class Description(ABC):
    """A training run under one description, ready to move.

    Attributes
    ----------
    name, title : str
        In the solution's parameters, and on the progress bar.
    duration : float
        Where the progress bar ends.
    allowed : float
        Relative error that the run allows of anything, if more than `rtol`.
    rtol : float
        Errors up to here need no mention.
    runs : int or None
        How many runs move side by side, where records have an axis for them.
    """

    name: str
    title: str
    duration: float
    rtol: float = 0.0
    allowed: float = 0.0
    runs: int | None = None

    @abstractmethod
    def run(self, advance: Advance, checkpoint: Checkpoint | None) -> Trajectory:
        """Move to the end, or as far as it goes; Ctrl-C leaves a snapshot and is a status here."""

    @abstractmethod
    def result(self, trajectory: Trajectory) -> Result:
        """The records as arrays, and what is known of their errors."""

    def outside(self) -> dict[str, Any]:
        """What the right-hand side keeps to itself, as plain numbers for a checkpoint."""
        return {}

    def restore(self, outside: dict[str, Any]) -> None:
        """Bring the right-hand side back to such a state."""
        assert not outside


@raising_on_sigterm()
def carry_out(
    solver: str,
    problem: Problem,
    start: ParticleMeasure | Overlaps | Weights | StateSeries[Any],
    request: Request,
    settings: Mapping[str, Any],
    prepare: Callable[[], Description],
    open_file: Callable[..., CheckpointFile] = CheckpointFile,
) -> Solution:
    """Run a description from its start, or from its checkpoint, to a solution.

    Ctrl-C and SIGTERM are raised again once there is one, see `return_or_raise`.

    Parameters
    ----------
    solver : str
        The name of the public function; a checkpoint of another is refused.
    problem, start, request
        Checked.
    settings : mapping
        All else that decides the numbers, checked.
    prepare : callable
        Makes the description, on the request's threads.
    open_file : callable
        Makes the checkpoint from its path, the call's identity, and the two functions by which the
        right-hand side gives and takes back its state.
    """
    settings = {"t_end": request.t_end, "keep": request.keep, **settings}
    if request.stops is not None:
        settings["until"] = request.stops.condition.parameters()
    with thread_limit(request.threads):
        run = prepare()
        file = None
        if request.checkpoint is not None:
            names = list(request.measurements.functions)
            call = settings | {"save_at": request.times, "observables": names}
            identity = describe_call(solver, problem, start, call)
            file = open_file(request.checkpoint, identity, run.outside, run.restore)
        with progress_bar(run.duration, run.title, request.progress) as advance:
            trajectory = run.run(advance, file)
        if file is not None and trajectory.status is not Status.INTERRUPTED:
            file.remove()
        result = run.result(trajectory)
    if request.stops is not None:
        result.stats.update({**request.stops.stats(), **result.stats})
    status, message = final_status(
        trajectory.status,
        trajectory.message,
        result.stats,
        run.rtol,
        *result.estimates,
        allowed=run.allowed,
    )
    measurements = request.measurements
    solution: Solution[Any, Any] = Solution(
        t=trajectory.t,
        risk=result.risk,
        states=result.states,
        status=status,
        message=message + result.remarks + measurements.missing_values(trajectory.records),
        stats=result.stats,
        problem=problem,
        parameters={
            "description": run.name, **settings, **result.parameters, "start": dict(start.origin),
        },
        observables={
            **result.observables, **measurements.stacked(trajectory.records, run.runs),
        },
    )  # fmt: skip
    return return_or_raise(solution, message) if status is Status.INTERRUPTED else solution


def check_gram(problem: Problem, found: Array, name: str) -> None:
    """Refuse a start `name` whose P is not the target's."""
    if not has_gram(problem.target, found):
        P = np.asarray(problem.target.gram)
        raise ValueError(
            f"{name} must have the target's Gram matrix as their P: the target has "
            f"{np.array2string(P, threshold=9)}, got {np.array2string(found, threshold=9)}"
        )
