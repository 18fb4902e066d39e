"""Loops over independent tasks, shared between the threads of one pool.

numba's own parallel loops are compiled three times over, most of what a first call waited for, and
their threads spin. Here a kernel is the loop over tasks first ≤ i < last, compiled once, for one
thread as for many; each task writes its own part of the output, so that no result depends on how
the tasks are shared.

A thread that is woken costs the caller some ten microseconds, and comes late on a busy machine:
work takes part in this only if each thread gets enough of it, and whoever comes when all tasks are
taken is not waited for.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import numba

CHUNKS = 4  # for each thread: one that is held up leaves its tasks to the others
LEAST = 100_000  # nanoseconds of work that a thread is woken for

_own = threading.local()


def thread_count() -> int:
    """How many threads loops that this thread starts may take, itself among them."""
    limit = getattr(_own, "limit", None)
    return _of_numba() if limit is None else limit


def _of_numba() -> int:
    """What the user has told numba, whose threads are not started to ask for it."""
    try:
        numba.threading_layer()
    except ValueError:  # not started, so `numba.set_num_threads` was not called
        return numba.config.NUMBA_NUM_THREADS
    return numba.get_num_threads()


@contextmanager
def thread_limit(threads: int | None) -> Iterator[int]:
    """Run the loops inside on at most `threads` threads (None: as set)."""
    before = getattr(_own, "limit", None)
    most = thread_count() if threads is None else threads
    _own.limit = min(most, numba.config.NUMBA_NUM_THREADS)
    try:
        yield _own.limit
    finally:
        _own.limit = before


class _Job:
    """The chunks of one call: each is taken once, by the caller or by a thread that has time."""

    def __init__(self, kernel: Any, args: tuple[Any, ...], tasks: int, chunks: int):
        self.kernel, self.args, self.tasks, self.chunks = kernel, args, tasks, chunks
        self.turns = iter(range(chunks))  # `next` of it is atomic
        self.helpers: list[None] = []
        self.left: SimpleQueue[BaseException | None] = SimpleQueue()

    def work(self) -> None:
        """Take chunks until none is left."""
        kernel, args, tasks, chunks = self.kernel, self.args, self.tasks, self.chunks
        for chunk in self.turns:
            kernel(chunk * tasks // chunks, (chunk + 1) * tasks // chunks, *args)

    def help(self) -> None:
        """The same by another thread, which says when it came and what became of it."""
        self.helpers.append(None)
        try:
            self.work()
        except BaseException as error:
            self.left.put(error)
        else:
            self.left.put(None)

    def finish(self) -> list[BaseException]:
        """Wait until no thread writes any more; what went wrong, an interrupt while waiting too."""
        for _ in self.turns:  # a thread that comes from here on finds nothing to do
            pass
        errors, waiting = [], len(self.helpers)
        while waiting:
            try:
                error = self.left.get()
                waiting -= 1
            except BaseException as interrupt:
                error = interrupt
            if error is not None:
                errors.append(error)
        return errors


class _Pool:
    """Threads that wait for jobs, asleep; they end with the process."""

    def __init__(self):
        self.jobs: SimpleQueue[_Job] = SimpleQueue()
        self.threads, self.lock = 0, threading.Lock()

    def hand(self, job: _Job, threads: int) -> None:
        """Let so many threads help with a job."""
        with self.lock:
            for _ in range(self.threads, threads):
                threading.Thread(target=self._run, name="meanfield", daemon=True).start()
                self.threads += 1
        for _ in range(threads):
            self.jobs.put(job)

    def _run(self):
        while True:
            self.jobs.get().help()


_pool = _Pool()


def _forget() -> None:
    global _pool
    _pool = _Pool()  # a forked child has none of its parent's threads


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def share(kernel: Any, size: Callable[..., tuple[int, float]]) -> Callable[..., None]:
    """The function of `args` that runs kernel(first, last, *args) over all tasks.

    `size(*args)` says how many tasks there are, and how many nanoseconds they take altogether, to a
    factor of two or so: it decides how many threads are worth waking, and no result.
    """

    def run(*args):
        tasks, nanoseconds = size(*args)
        if tasks < 2 or nanoseconds < 2 * LEAST:  # not even two threads: most calls of short runs
            kernel(0, tasks, *args)
            return
        threads = min(thread_count(), tasks, int(nanoseconds / LEAST))
        if threads <= 1:
            kernel(0, tasks, *args)
            return
        job = _Job(kernel, args, tasks, min(tasks, CHUNKS * threads))
        try:
            _pool.hand(job, threads - 1)
            job.work()
        finally:  # an error or an interrupt leaves no thread behind that still writes
            errors = job.finish()
        for error in errors:
            raise error

    run.__name__, run.__doc__, run.__module__ = kernel.__name__, kernel.__doc__, kernel.__module__
    run.__wrapped__ = kernel  # type: ignore[attr-defined]
    return run
