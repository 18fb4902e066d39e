"""How a study is doing: a bar for people, lines for files, a callback for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from meanfield.progress import can_draw, progress_bar
from meanfield.studies.run import FAILED, Record

LINES_EVERY = 10.0  # seconds


@dataclass(frozen=True)
class Step:
    """A run of a study that has just ended.

    Attributes
    ----------
    record : Record
        The run.
    done, total : int
        Runs that ended so far, those found in the store included, and all runs.
    failed : int
        How many of those raised an error.
    seconds_left : float
        At the pace so far.

    Examples
    --------
    >>> import meanfield as mf
    >>> study = mf.Study(
    ...     problem=mf.Problem(mf.CommitteeTarget(k=1)),
    ...     start={"law": "gaussian_measure", "n": 50},
    ...     solver={"description": "mean_field", "t_end": 1.0},
    ...     grid={"problem.dim": [10, 100]},
    ... )
    >>> _ = study.run(callback=lambda step: print(step.done, "of", step.total))
    1 of 2
    2 of 2
    """

    record: Record
    done: int
    total: int
    failed: int
    seconds_left: float


Callback = Callable[[Step], None]


@contextmanager
def watch(
    name: str, total: int, done: int, show: bool, callback: Callback | None
) -> Iterator[ProgressReport]:
    """Yield what is to be told of each run that ends; `done` were there before."""
    with progress_bar(total, f"{name}, {total} runs", show) as move:
        yield ProgressReport(name, total, done, show, callback, move)


class ProgressReport:
    """Tells people and programs how a study is doing."""

    def __init__(
        self, name: str, total: int, done: int, show: bool, callback: Callback | None,
        move: Callable[[int], Any],
    ):  # fmt: skip
        self.name, self.total, self.show, self.callback, self.move = (
            name, total, show, callback, move,
        )  # fmt: skip
        self.before = self.done = done
        self.failed, self.waiting = 0, 0
        self.started = self.last_line = time.monotonic()
        self.lines = show and not can_draw()
        if done:
            move(done)
        if self.lines:
            self._say(f"{total} runs, {done} of them in the store already")

    def run_ended(self, record: Record) -> None:
        """A run has ended."""
        self.done, self.failed = self.done + 1, self.failed + (record.status == FAILED)
        done, total, now = self.done, self.total, time.monotonic()
        left = (now - self.started) / (done - self.before) * (total - done)
        self.move(done)
        if self.lines and (now - self.last_line >= LINES_EVERY or done == total):
            self.last_line = now
            errors = f", {self.failed} failed" if self.failed else ""
            ends = f"about {left:.0f} s left" if done < total else f"in {now - self.started:.1f} s"
            self._say(f"{done}/{total} runs{errors}, {ends}")
        if self.callback is not None:
            self.callback(Step(record, done, total, self.failed, left))

    def wait(self, keys: list[str]) -> None:
        """What is left is being made by others; said once for each number of runs left."""
        if self.show and len(keys) != self.waiting:
            self.waiting = len(keys)
            self._say(
                f"waiting for {len(keys)} runs that other processes hold the claims of, "
                f"{keys[0][:12]} among them"
            )

    def _say(self, text: str) -> None:
        print(f"{self.name}: {text}", file=sys.stderr, flush=True)
