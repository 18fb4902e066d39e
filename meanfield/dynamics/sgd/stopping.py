"""Runs of SGD that stop by themselves, each at the very step at which its condition is met.

Between two looks as many steps are made as cannot lead to 0, by far, at the speed and with the
scatter that a condition's value has shown in the looks before. What is met all the same within
several steps is gone through again, step by step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.sgd.clock import Position
from meanfield.dynamics.sgd.runs import Runs
from meanfield.dynamics.state_series import StateSeries
from meanfield.dynamics.stopping import RunLook, StoppingRuns
from meanfield.dynamics.stops import Stops

Array = NDArray[np.float64]

WINDOW = 8  # looks that tell the speed and the scatter of a value
FAR = 6.0  # standard deviations of the scatter that the way to 0 must be longer than,
SPEED = 2.0  # and times the way at the mean speed
GROW = 4  # times as many steps to the next look, at most


class StoppingSteps(StoppingRuns):
    """See `StoppingRuns`; and when to look at the runs again.

    Attributes
    ----------
    at : Position
        Of the last look; the simulator can be taken back to it.
    """

    def __init__(self, stops: Stops, simulator: Runs, origin: Mapping[str, Any]):
        super().__init__(stops, len(simulator.done))
        self.simulator, self.origin = simulator, origin
        self.recent: deque[tuple[int, Array]] = deque(maxlen=WINDOW)
        self.each_step_until = -1  # up to this step every step is looked at
        self.length = 1
        self.at = Position(-1)
        self.before: dict[str, Array] = {}

    def steps_to_next(self, steps: int) -> int:
        """How many steps there are to the next look."""
        return self.at.steps + self.length - steps

    def look(self, at: Position) -> bool:
        """See which runs stop here; False: go through the steps since the last look again."""
        if at.steps == self.at.steps:
            return True
        fields, risk = self.simulator.record()
        values = self._values(at, fields, risk)
        found = [self.signs_after(*each) for each in zip(self.active.tolist(), values, strict=True)]
        signs, met = zip(*found, strict=True)
        some = any(which is not None for which in met)
        if some and self.at.steps >= 0 and at.steps > self.at.steps + 1:
            self.each_step_until, self.length = at.steps, 1
            self.rewind()
            return False
        for run, after in zip(self.active.tolist(), signs, strict=True):
            self.signs[run] = after
        self.recent.append((at.steps, np.array(values)))
        self.at = at
        if some:
            self._stop(at, met, fields, risk)
        self.length = self._length(at.steps)
        self.save_position()
        return True

    def save_position(self) -> None:
        """Take note of where the simulator is."""
        self.before = {n: getattr(self.simulator, n).copy() for n in self.simulator.moving}

    def rewind(self) -> Position:
        """Take the simulator to where it was at the last look."""
        for name, array in self.before.items():
            getattr(self.simulator, name)[...] = array
        return self.at

    def record(self) -> tuple[dict[str, Array], Array]:
        """Fields and risk of all runs: those that have stopped stay what they were."""
        found: dict[str, Array] = {}
        if not self.over:
            fields, risk = self.simulator.record()
            found = {**fields, "risk": risk}
        found = self.of_all(found)
        return found, found.pop("risk")

    def _values(self, at: Position, fields: dict[str, Array], risk: Array) -> list[list[float]]:
        simulator = self.simulator
        states: StateSeries[Any] = StateSeries(
            simulator.kind, fields, simulator.fixed, (len(risk),), self.origin
        )
        return [
            self.values(RunLook(at.t, partial(float, R), partial(states.__getitem__, i)))
            for i, R in enumerate(risk)
        ]

    def _stop(
        self, at: Position, met: Sequence[int | None], fields: dict[str, Array], risk: Array
    ) -> None:
        """Keep the runs that stop as they are, and move the others alone from now on."""
        for run, which in zip(self.active.tolist(), met, strict=True):
            if which is not None:
                self.stopped[run] = (at.t, self.stops.names[which])
        moves = np.array([which is None for which in met])
        self.hold(moves, {**fields, "risk": risk})
        self.recent = deque(((s, v[moves]) for s, v in self.recent), maxlen=WINDOW)
        keep(self.simulator, moves)

    def _length(self, steps: int) -> int:
        """Steps to the next look."""
        if steps < self.each_step_until or len(self.recent) < WINDOW or self.over:
            return 1
        at = np.array([s for s, _ in self.recent], dtype=np.float64)
        values = np.stack([v for _, v in self.recent])
        gaps = np.diff(at)[:, None, None]
        scatter = np.sqrt((np.diff(values, axis=0) ** 2 / gaps).max(axis=0))
        speed = np.abs(values[-1] - values[0]) / (at[-1] - at[0])
        way = np.abs(values[-1])
        # the root of SPEED speed n + FAR scatter √n = way
        under = (FAR * scatter) ** 2 + 4.0 * SPEED * speed * way
        with np.errstate(divide="ignore", invalid="ignore"):
            root = 2.0 * way / (FAR * scatter + np.sqrt(under))
            most = float(np.min(np.nan_to_num(root**2, nan=1.0, posinf=1e15)))
        return int(max(1.0, min(most, GROW * (at[-1] - at[-2]))))

    # -- checkpoints ------------------------------------------------------------------------------

    def header(self) -> dict[str, Any]:
        """See `StoppingRuns`."""
        return super().header() | {
            "at": list(self.at), "singly": self.each_step_until, "length": self.length,
            "seen": [s for s, _ in self.recent],
        }  # fmt: skip

    def arrays(self) -> dict[str, Array]:
        """See `StoppingRuns`."""
        seen = {f"seen.{i}": values for i, (_, values) in enumerate(self.recent)}
        return super().arrays() | seen

    def restore(self, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """See `StoppingRuns`; the simulator then has the active runs alone."""
        super().restore(header, arrays)
        self.at = Position(*header["at"])
        self.each_step_until, self.length = header["singly"], header["length"]
        steps = enumerate(header["seen"])
        self.recent = deque(((s, arrays[f"seen.{i}"]) for i, s in steps), maxlen=WINDOW)
        keep(self.simulator, np.isin(np.arange(self.count), self.active))


def keep(simulator: Runs, moves: NDArray[np.bool_]) -> None:
    """Leave some of the runs out; each has a stream of its own, so that the others stay as is."""
    for name in simulator.moving:
        setattr(simulator, name, np.ascontiguousarray(getattr(simulator, name)[moves]))
    simulator.done = np.zeros(int(moves.sum()), dtype=np.int64)
