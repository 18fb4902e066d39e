"""Where runs happen: anything with the `concurrent.futures.Executor` interface."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from multiprocessing.connection import wait as wait_for
from typing import Any

from meanfield import checks
from meanfield.kernels.options import thread_limit

IN_FLIGHT = 512  # runs handed to an executor ahead of time
_ALONE = threading.RLock()


class SerialExecutor(Executor):
    """Runs each task at once, in this process; the default.

    Examples
    --------
    >>> import meanfield as mf
    >>> mf.studies.SerialExecutor().submit(max, 1, 2).result()
    2
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run the task and return a finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # handed on by the future, as any executor does
            future.set_exception(error)
        return future


class ProcessPool(Executor):
    """Processes of this machine, which outlive neither their parent nor one another's crashes.

    Workers are never forked after a parallel kernel has run: that kills them. A pool broken by the
    death of a worker is made anew by the next task. Ctrl-C reaches this process alone.

    Parameters
    ----------
    workers : int, optional
        Number of processes; by default one a core.

    Raises
    ------
    TypeError, ValueError
        If `workers` is no positive integer.

    Examples
    --------
    >>> import meanfield as mf
    >>> with mf.studies.ProcessPool(1) as pool:
    ...     pool.submit(max, 1, 2).result()
    2
    """

    def __init__(self, workers: int | None = None):
        self.workers = (
            os.cpu_count() or 1 if workers is None else checks.integer(workers, "workers")
        )
        methods = multiprocessing.get_all_start_methods()
        self.context = multiprocessing.get_context(
            "forkserver" if "forkserver" in methods else "spawn"
        )
        if hasattr(self.context, "set_forkserver_preload"):
            self.context.set_forkserver_preload(["meanfield"])  # imported once, not by each worker
            _start_forkserver()
        self.in_flight = 2 * self.workers  # what a crash can take with it
        self.pool: ProcessPoolExecutor | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run the task in a worker."""
        if self.pool is not None:
            try:
                return self.pool.submit(fn, *args, **kwargs)
            except BrokenExecutor:
                self.pool.shutdown(wait=False)
        self.pool = ProcessPoolExecutor(self.workers, self.context, initializer=_settle)
        return self.pool.submit(fn, *args, **kwargs)

    def interrupt(self) -> None:
        """Stop the workers in the middle of what they do; the next task finds new ones."""
        if self.pool is None:
            return
        workers = list((getattr(self.pool, "_processes", None) or {}).values())
        self.pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()
        self.pool = None

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the workers go when their work is done."""
        if self.pool is not None:
            self.pool.shutdown(wait=wait, cancel_futures=cancel_futures)


def _start_forkserver() -> None:
    """With Ctrl-C ignored from its birth on, so that it does not fall into the imports."""
    if threading.current_thread() is not threading.main_thread():
        return  # only the main thread may set signals; the server starts with the first worker
    from multiprocessing import forkserver  # which not every system has

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        if before is not None:  # not set by Python
            signal.signal(signal.SIGINT, before)


def _settle() -> None:
    """In a new worker: leave Ctrl-C to the parent, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()


def _follow(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)


@contextmanager
def limited_threads(threads: int | None) -> Iterator[None]:
    """At most `threads` threads in kernels (None: as set), and one in BLAS.

    BLAS sums in an order that depends on its threads: with one, all engines agree to the last bit.
    One run at a time in a process: its limits are BLAS's for all threads of the process.
    """
    with ExitStack() as stack:
        stack.enter_context(_ALONE)
        stack.enter_context(_blas().limit(limits=1))
        stack.enter_context(thread_limit(threads))
        yield


@cache
def _blas() -> Any:
    import scipy.linalg  # noqa: F401  a second BLAS, found only once it is loaded
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def as_they_finish(
    function: Callable[[Any], Any], tasks: Iterable[Any], executor: Executor
) -> Iterator[tuple[Any, Future[Any]]]:
    """Run a function over tasks; yield each task with its future as it finishes.

    Tasks are handed over a few hundred at a time. One whose worker died is tried once more at the
    end, with nothing beside it, so that a second death is its own doing.

    Raises
    ------
    BrokenExecutor
        If the executor takes no more tasks.
    """
    finished: queue.SimpleQueue[tuple[Any, Future[Any]]] = queue.SimpleQueue()
    flying: set[Future[Any]] = set()
    orphans: list[Any] = []
    if not callable(getattr(executor, "submit", None)):
        raise TypeError(
            f"executor must be a concurrent.futures.Executor, got {type(executor).__name__}"
        )
    limit = getattr(executor, "in_flight", IN_FLIGHT)

    def launch(task: Any) -> None:
        future = executor.submit(function, task)
        flying.add(future)
        future.add_done_callback(lambda f: finished.put((task, f)))

    def land() -> tuple[Any, Future[Any]]:
        task, future = finished.get()
        flying.discard(future)
        return task, future

    waiting = iter(tasks)
    more = True
    try:
        while more or flying:
            while more and len(flying) < limit and finished.empty():
                for task in waiting:
                    launch(task)
                    break
                else:
                    more = False
            if flying:
                task, future = land()
                if isinstance(_error(future), BrokenExecutor):
                    orphans.append(task)
                else:
                    yield task, future
        for task in orphans:
            launch(task)
            yield land()
    except KeyboardInterrupt:
        getattr(executor, "interrupt", lambda: None)()
        raise
    finally:
        for future in flying:
            future.cancel()


def _error(future: Future[Any]) -> BaseException | None:
    try:
        return future.exception()
    except CancelledError as error:
        return error
