"""A run that draws random numbers: how it ends, what is recorded of it, and where it goes on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.run import Advance, Description, Request
from meanfield.dynamics.state_series import StateSeries
from meanfield.dynamics.stopping import StoppingRuns
from meanfield.integrate import BadRate, Status, Trajectory
from meanfield.integrate.records import Checkpoint, Snapshot, pack_records, unpack_records

Array = NDArray[np.float64]


class RandomRun(Description):
    """A description of one run or several that steps from one time to record to the next.

    A subclass takes the steps, and says what a run needs, beside its records, to go on after the
    last whole one.

    Attributes
    ----------
    y : ndarray
        The state at the time reached, of a subclass whose `result` asks for it; else empty.
    records : list of dict
        What was recorded at each time so far: the time itself as ``"t"``, risks, states.
    checkpoint : Checkpoint or None
        Where snapshots go.
    """

    y: Array = np.empty(0)

    def __init__(self, request: Request):
        self.request = request
        self.records: list[dict[str, Any]] = []
        self.checkpoint: Checkpoint | None = None

    @property
    @abstractmethod
    def t(self) -> float:
        """The time reached."""

    @abstractmethod
    def steps(self, advance: Advance) -> tuple[Status, str]:
        """Take all steps, record on the way, and say how the run ended."""

    @abstractmethod
    def position(self) -> Snapshot | None:
        """The run after its last whole step, with the ``"count"`` of its records then.

        None where Ctrl-C came in the middle of a step that cannot be undone.
        """

    @abstractmethod
    def set_position(self, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Put everything back to such a position; `records` has been put back before."""

    @abstractmethod
    def stats(self) -> dict[str, Any]:
        """The solution's ``stats``, but for errors that only `result` knows."""

    def place(self) -> str:
        """Where the run is, for a message."""
        return f"t = {self.t:g}"

    def run(self, advance: Advance, checkpoint: Checkpoint | None) -> Trajectory:
        """See `Description`."""
        self.checkpoint = checkpoint
        if checkpoint is not None and (snapshot := checkpoint.load()) is not None:
            header, arrays = snapshot
            # older files count the records under another name
            count = header["count" if "count" in header else "records"]
            self.records = unpack_records(arrays, count)
            self.set_position(header, arrays)
        try:
            status, message = self.steps(advance)
        except BadRate as error:  # or a condition that failed
            status, message = Status.INVALID, f"stopped at {self.place()}: {error}"
        except KeyboardInterrupt:
            self._save()
            status, message = Status.INTERRUPTED, f"interrupted at {self.place()}"
        times = np.array([record["t"] for record in self.records])
        return Trajectory(times, self.records, self.y, self.t, status, message, self.stats())

    def save_if_due(self) -> None:
        """Leave a snapshot after a whole step, if it is time for one."""
        if self.checkpoint is not None and self.checkpoint.due():
            self._save()

    def _save(self) -> None:
        """Leave a snapshot of the last whole step, if there is a file for it."""
        position = self.position()
        if self.checkpoint is not None and position is not None:
            header, arrays = position
            records = pack_records(self.records[: header["count"]])
            self.checkpoint.save(Snapshot(header, arrays | records))


class RandomRuns(RandomRun):
    """Several runs side by side, each of which may stop by itself.

    Records hold all runs: one that has stopped keeps its state until the last one stops.

    Parameters
    ----------
    request : Request
    runs : int
    kind, fixed, origin
        Of their states, see `StateSeries`.

    Attributes
    ----------
    stopping : StoppingRuns or None
        Which runs have stopped; None where nothing is asked for that could stop one.
    """

    stopping: StoppingRuns | None = None

    def __init__(
        self, request: Request, runs: int, kind: str, fixed: Mapping[str, Array],
        origin: Mapping[str, Any],
    ):  # fmt: skip
        super().__init__(request)
        self.runs, self.kind, self.fixed, self.origin = runs, kind, fixed, origin

    def with_record(
        self, t: float, fields: dict[str, Array], risk: Array, **others: Any
    ) -> list[dict[str, Any]]:
        """The last record, if there is one, followed by that of the present states at t.

        `fields` are the states' fields that vary and `risk` their risks, of all runs; `others` go
        into the record as they are. Under ``keep="ends"`` the last record loses its states, unless
        it is the first. The caller puts both in place of the last one in a single statement,
        `self.records[-1:] = ...`, so that Ctrl-C comes before or after.
        """
        record = {"t": t, **others, "risk": risk, **fields}
        measurements = self.request.measurements
        if measurements:
            states: StateSeries[Any] = StateSeries(
                self.kind, fields, self.fixed, risk.shape, self.origin
            )
            record |= measurements.of_runs(t, states)
        before = self.records[-1:]
        if self.request.keep == "ends" and len(self.records) > 1:
            # a run may end at any record, so each keeps its states until there is a later one
            before = [{name: each for name, each in before[0].items() if name not in fields}]
        return [*before, record]

    def risks_and_states(
        self, records: list[dict[str, Any]], shapes: Mapping[str, tuple[int, ...]]
    ) -> tuple[Array, StateSeries]:
        """Risks (runs, T) and states, which the records lose; `shapes` of fields: (runs, ...)."""
        risk = np.array([record["risk"] for record in records]).reshape(-1, self.count).T
        return np.ascontiguousarray(risk), StateSeries.of_records(
            self.kind, records, shapes, self.fixed, self.origin, self.runs
        )

    @property
    def count(self) -> int:
        """How many runs there are; `runs` is None only for descriptions of a single one."""
        assert self.runs is not None
        return self.runs

    def stats(self) -> dict[str, Any]:
        """See `RandomRun`: which runs have stopped by themselves."""
        return {} if self.stopping is None else self.stopping.stats()


def starts_of_runs(start: Any, runs: Any, name: str) -> tuple[list[Any], Any]:
    """The starts in the argument `name`, one for all runs or one for each, and how many runs.

    Several starts are one for each run. With them `runs` is their number or 1, the default of the
    solvers, which then stands for it.

    Raises
    ------
    ValueError
        If there are several starts and another number of runs is asked for.
    """
    starts = [*start] if isinstance(start, StateSeries) else [start]
    if len(starts) > 1 and runs == 1:
        runs = len(starts)
    if len(starts) not in (1, runs):
        raise ValueError(
            f"{name} must hold one state or as many as runs, {runs}, got {len(starts)}"
        )
    return starts, runs
