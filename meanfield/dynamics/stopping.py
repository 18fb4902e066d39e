"""Several runs side by side, each of which may stop: which go on, and where the others stay."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.stops import Stops, first_sign_change, value_of

Array = NDArray[np.float64]


class RunLook(NamedTuple):
    """See `meanfield.until.Look`: one of several runs at a moment."""

    t: float
    risk: Callable[[], float]
    state: Callable[[], Any]


class StoppingRuns:
    """Which of several runs move on, and what holds of those that a condition has stopped.

    Parameters
    ----------
    stops : Stops
    count : int
        How many runs there are.

    Attributes
    ----------
    active : ndarray of int
        The runs that move on.
    stopped : list of (float, str)
        When each run stopped, NaN if it has not, and by which condition.
    signs : list of list of float
        The sign of each condition so far, for each run; see `first_sign_change`.
    held : dict of str to ndarray
        Fields with a row for each run, of which only those of stopped runs have a meaning; empty as
        long as none has stopped.
    """

    def __init__(self, stops: Stops, count: int):
        self.stops, self.count = stops, count
        self.active = np.arange(count)
        self.stopped = [(math.nan, "")] * count
        self.signs = [[0.0 if signed else 1.0 for signed in stops.signed]] * count
        self.held: dict[str, Array] = {}

    def values(self, look: RunLook) -> list[float]:
        """What each condition says of a run."""
        return [value_of(part, look) for part in self.stops.parts]

    def signs_after(self, run: int, values: Sequence[float]) -> tuple[list[float], int | None]:
        """The signs of a run's conditions after these values, and the index of the one met.

        See `first_sign_change`; nothing is kept of either.
        """
        return first_sign_change(self.signs[run], values, self.stops.signed)

    def hold(self, moves: NDArray[np.bool_], fields: Mapping[str, Array]) -> None:
        """Let the active runs marked in `moves` go on, and hold the others as they are.

        `fields` have a row for each active run.
        """
        whole = {n: np.zeros((self.count, *each.shape[1:])) for n, each in fields.items()}
        for name, array in whole.items():
            array[...] = self.held.get(name, 0.0)
            array[self.active[~moves]] = fields[name][~moves]
        self.held, self.active = whole, self.active[moves]

    def of_all(self, fields: Mapping[str, Array]) -> dict[str, Array]:
        """Fields of all runs: these of the active ones, and those held of the others."""
        if len(self.active) == self.count:
            return dict(fields)
        whole = {name: array.copy() for name, array in self.held.items()}
        for name, array in fields.items():
            whole[name][self.active] = array
        return whole

    @property
    def over(self) -> bool:
        """Whether no run moves on."""
        return len(self.active) == 0

    def reasons(self) -> str:
        """What stopped the runs, for a message."""
        if self.count == 1:
            return self.stopped[0][1]
        counts = Counter(by for _, by in self.stopped)
        return ", ".join(f"{by} ({n} of {self.count} runs)" for by, n in counts.items())

    def stats(self) -> dict[str, Any]:
        """When and by what each run stopped: what `Stops.stats` says of one, as lists."""
        stopped_at, stopped_by = (list(part) for part in zip(*self.stopped, strict=True))
        return {"stopped_at": stopped_at, "stopped_by": stopped_by}

    def header(self) -> dict[str, Any]:
        """What a snapshot holds of the runs, beside arrays."""
        return {
            "stopped": list(self.stopped), "signs": list(self.signs),
            "active": self.active.tolist(),
        }  # fmt: skip

    def arrays(self) -> dict[str, Array]:
        """The arrays of a snapshot."""
        return {f"held.{name}": array for name, array in self.held.items()}

    def restore(self, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Put everything back to what a snapshot holds."""
        self.stopped = [(at, by) for at, by in header["stopped"]]
        self.signs = header["signs"]
        self.active = np.array(header["active"], dtype=np.int64)
        self.held = {n[5:]: each for n, each in arrays.items() if n.startswith("held.")}
