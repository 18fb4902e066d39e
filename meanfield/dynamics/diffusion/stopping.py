"""Runs of the diffusion that stop by themselves, within the step in which a condition is met.

Between the ends of a step a run is on the straight line of its coordinates, along which overlaps
stay those of weights; a way to the condition and back within one step is not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.diffusion.averages import Runs, StepAverages
from meanfield.dynamics.stopping import RunLook, StoppingRuns
from meanfield.dynamics.stops import Stops, value_of
from meanfield.until import Condition

Array = NDArray[np.float64]

WITHIN = 1e-9  # of the time: how well the moment is known
ROUNDS = 100


class StoppingPaths(StoppingRuns):
    """See `StoppingRuns`.

    Parameters
    ----------
    stops : Stops
    field : StepAverages
    runs : Runs
        At the start.
    state_of : callable
        From the coordinates of one run to its state.
    """

    def __init__(
        self, stops: Stops, field: StepAverages, runs: Runs, state_of: Callable[[Runs], Any]
    ):
        super().__init__(stops, len(runs.a))
        self.field, self.state_of = field, state_of
        self.t, self.before = 0.0, runs

    def look(self, t: float, runs: Runs) -> NDArray[np.bool_]:
        """Which of the active runs move on after a time."""
        moves = np.ones(len(self.active), dtype=bool)
        ends = Runs(*(part.copy() for part in runs))  # where those that stop do so
        for place, run in enumerate(self.active.tolist()):
            now = runs.some(np.array([place]))
            values = self.values(self._at(t, now))
            after, which = self.signs_after(run, values)
            if which is not None:
                moves[place] = False
                first = self.before.some(np.array([place]))
                share, which = self._first_met(run, t, first, now, values)
                self.stopped[run] = (self._time(share, t), self.stops.names[which])
                for whole, part in zip(ends, _between(first, now, share), strict=True):
                    whole[place] = part[0]
            self.signs[run] = after
        if not moves.all():
            self.hold(moves, ends._asdict())
        self.t, self.before = t, runs.some(moves)
        return moves

    def all_runs(self, runs: Runs) -> Runs:
        """All runs, where those that move on are at `runs`."""
        return Runs(**self.of_all(runs._asdict()))

    def _at(self, t: float, run: Runs) -> RunLook:
        """A look at a run, whose risk is computed if it is asked for."""
        return RunLook(t, lambda: float(self.field.risks(run)[0][0]), lambda: self.state_of(run))

    def _first_met(
        self, run: int, t: float, first: Runs, last: Runs, values: list[float]
    ) -> tuple[float, int]:
        """The first condition met since the last look, and after how much of the way since then."""
        found = []
        for index, (sign, value) in enumerate(zip(self.signs[run], values, strict=True)):
            after = sign * value <= 0.0 and not (self.stops.signed[index] and sign == 0.0)
            if after:
                found.append((self._share(self.stops.parts[index], sign, t, first, last), index))
        return min(found)

    def _share(self, part: Condition, sign: float, t: float, first: Runs, last: Runs) -> float:
        """Of the way since the last look, how much had been made when a condition was met."""
        low, high = 0.0, 1.0
        for _ in range(ROUNDS if t > self.t else 0):
            if (high - low) * (t - self.t) <= WITHIN * t:
                break
            middle = 0.5 * (low + high)
            look = self._at(self._time(middle, t), _between(first, last, middle))
            if sign * value_of(part, look) <= 0.0:
                high = middle
            else:
                low = middle
        return high

    def _time(self, share: float, t: float) -> float:
        return t if share == 1.0 else self.t + share * (t - self.t)

    # -- checkpoints ------------------------------------------------------------------------------

    def header(self) -> dict[str, Any]:
        """See `StoppingRuns`."""
        return super().header() | {"t": self.t}

    def arrays(self) -> dict[str, Array]:
        """See `StoppingRuns`."""
        before = {f"before.{name}": part for name, part in self.before._asdict().items()}
        return super().arrays() | before

    def restore(self, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """See `StoppingRuns`."""
        super().restore(header, arrays)
        self.t = header["t"]
        self.before = Runs(*(arrays[f"before.{name}"] for name in Runs._fields))


def _between(first: Runs, last: Runs, share: float) -> Runs:
    return Runs(*((1.0 - share) * x + share * y for x, y in zip(first, last, strict=True)))
