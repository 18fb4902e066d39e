"""Runs of the diffusion that stop by themselves, within the step in which a condition is met.

Between the ends of a step a run is on the straight line of its coordinates, along which overlaps
stay those of weights; a way to the condition and back within one step is not seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.diffusion.averages import Runs, StepAverages
from meanfield.dynamics.stops import Stops, first_sign_change, value_of
from meanfield.until import Condition

Array = NDArray[np.float64]

WITHIN = 1e-9  # of the time: how well the moment is known
ROUNDS = 100


class StoppingPaths:
    """Which runs move on, and what holds of the others.

    Parameters
    ----------
    stops : Stops
    field : StepAverages
    runs : Runs
        At the start.
    state_of : callable
        From the coordinates of one run to its state.

    Attributes
    ----------
    active : ndarray of int
        The runs that move on.
    stopped : list of (float, str)
        When each run stopped, NaN if it has not, and by what.
    held : Runs
        All runs, those that have stopped as they were then.
    """

    def __init__(
        self, stops: Stops, field: StepAverages, runs: Runs, state_of: Callable[[Runs], Any]
    ):
        self.stops, self.field, self.state_of = stops, field, state_of
        count = len(runs.a)
        self.active = np.arange(count)
        self.stopped = [(math.nan, "")] * count
        self.held = Runs(*(part.copy() for part in runs))
        self.signs = [[0.0 if signed else 1.0 for signed in stops.signed]] * count
        self.t, self.before = 0.0, runs

    def look(self, t: float, runs: Runs) -> NDArray[np.bool_]:
        """Which of the active runs move on after a time."""
        moves = np.ones(len(self.active), dtype=bool)
        for place, run in enumerate(self.active.tolist()):
            now = runs.some(np.array([place]))
            values = [value_of(part, self._at(t, now)) for part in self.stops.parts]
            after, which = first_sign_change(self.signs[run], values, self.stops.signed)
            if which is not None:
                moves[place] = False
                self._hold(run, t, self.before.some(np.array([place])), now, values)
            self.signs[run] = after
        self.active = self.active[moves]
        self.t, self.before = t, runs.some(moves)
        return moves

    def with_active(self, runs: Runs) -> Runs:
        """All runs, where those that move on are at `runs`."""
        found = Runs(*(part.copy() for part in self.held))
        for whole, part in zip(found, runs, strict=True):
            whole[self.active] = part
        return found

    def _at(self, t: float, run: Runs) -> PathLook:
        return PathLook(t, run, self.field, self.state_of)

    def _hold(self, run: int, t: float, first: Runs, last: Runs, values: list[float]) -> None:
        """Keep a run where the first of its conditions is met since the last look."""
        found = []
        for index, (sign, value) in enumerate(zip(self.signs[run], values, strict=True)):
            after = sign * value <= 0.0 and not (self.stops.signed[index] and sign == 0.0)
            if after:
                found.append((self._share(self.stops.parts[index], sign, t, first, last), index))
        share, index = min(found)
        self.stopped[run] = (self._time(share, t), self.stops.names[index])
        for whole, part in zip(self.held, _between(first, last, share), strict=True):
            whole[run] = part[0]

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
        """What a snapshot needs beside arrays."""
        return {
            "t": self.t, "stopped": list(self.stopped), "signs": list(self.signs),
            "active": self.active.tolist(),
        }  # fmt: skip

    def arrays(self) -> dict[str, Array]:
        """Its arrays."""
        found = {f"held.{name}": part.copy() for name, part in self.held._asdict().items()}
        return found | {f"before.{name}": part for name, part in self.before._asdict().items()}

    def restore(self, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Put everything back."""
        self.t, self.signs = header["t"], header["signs"]
        self.stopped = [(at, by) for at, by in header["stopped"]]
        self.active = np.array(header["active"], dtype=np.int64)
        self.held = Runs(*(arrays[f"held.{name}"].copy() for name in Runs._fields))
        self.before = Runs(*(arrays[f"before.{name}"] for name in Runs._fields))


class PathLook:
    """See `meanfield.until.Look`: one run at a moment, its risk computed if it is asked for."""

    def __init__(self, t: float, run: Runs, field: StepAverages, state_of: Callable[[Runs], Any]):
        self.t, self.run, self.field, self.state_of = t, run, field, state_of

    def risk(self) -> float:
        """See `Look`."""
        return float(self.field.risks(self.run)[0][0])

    def state(self) -> Any:
        """See `Look`."""
        return self.state_of(self.run)


def _between(first: Runs, last: Runs, share: float) -> Runs:
    return Runs(*((1.0 - share) * x + share * y for x, y in zip(first, last, strict=True)))
