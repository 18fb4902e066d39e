"""How a study is doing: a bar for people, lines for files, a callback for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from meanfield.progress import can_draw, progress_bar
from meanfield.studies.work import FAILED, Record

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
) -> Iterator[Callable[[Record], None]]:
    """Yield a function to be told of each run that ends; `done` were there before."""
    before, failed = done, 0
    started = said = time.monotonic()
    lines = show and not can_draw()

    def say(text: str) -> None:
        print(f"{name}: {text}", file=sys.stderr, flush=True)

    with progress_bar(total, f"{name}, {total} runs", show) as move:
        if before:
            move(before)
        if lines:
            say(f"{total} runs, {before} of them in the store already")

        def tell(record: Record) -> None:
            nonlocal done, failed, said
            done, failed = done + 1, failed + (record.status == FAILED)
            now = time.monotonic()
            left = (now - started) / (done - before) * (total - done)
            move(done)
            if lines and (now - said >= LINES_EVERY or done == total):
                said = now
                errors = f", {failed} failed" if failed else ""
                ends = f"about {left:.0f} s left" if done < total else f"in {now - started:.1f} s"
                say(f"{done}/{total} runs{errors}, {ends}")
            if callback is not None:
                callback(Step(record, done, total, failed, left))

        yield tell
