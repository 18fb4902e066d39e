"""Where runs happen: anything with the `concurrent.futures.Executor` interface."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from multiprocessing.connection import wait as wait_for
from typing import Any

from meanfield import checks
from meanfield.blas import one_blas_thread
from meanfield.integrate.interrupts import Terminated, raising_on_sigterm
from meanfield.kernels.threads import thread_limit

ENGINES = ("process", "serial", "dask", "mpi")  # by name, on the command line
PATIENCE = 20.0  # seconds that workers have to write where they are
LEFT_TO_PARENT = (signal.SIGINT, signal.SIGTERM)  # by the server that workers are forked from
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

    A pool broken by the death of a worker is made anew by the next task. Ctrl-C reaches this
    process alone.

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
                return self.pool.submit(_run_in_worker, fn, *args, **kwargs)
            except BrokenExecutor:
                self.pool.shutdown(wait=False)
        self.pool = ProcessPoolExecutor(self.workers, self.context, initializer=_initialise_worker)
        return self.pool.submit(_run_in_worker, fn, *args, **kwargs)

    def interrupt(self) -> None:
        """Stop the workers in the middle of what they do; the next task finds new ones.

        Each has a moment to leave a checkpoint of its run.
        """
        if self.pool is None:
            return
        workers = list((getattr(self.pool, "_processes", None) or {}).values())
        self.pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()
        deadline = time.monotonic() + PATIENCE
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))
            worker.kill()
        self.pool = None

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the workers go when their work is done."""
        if self.pool is not None:
            self.pool.shutdown(wait=wait, cancel_futures=cancel_futures)


def _start_forkserver() -> None:
    """With Ctrl-C and SIGTERM blocked from its birth on, as in a new worker.

    Ctrl-C must not fall into its imports. SIGTERM, which a batch system sends to all processes of a
    job, must not end it: workers whose server is gone look dead to their parent, which then ends
    before they have written where they are.
    """
    from multiprocessing import forkserver, resource_tracker  # which not every system has

    resource_tracker.ensure_running()  # the server would start it, and unblock the signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, LEFT_TO_PARENT)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run_in_worker(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """In a worker: a task; told to end, it leaves what a run leaves and ends."""
    try:
        with raising_on_sigterm():
            return fn(*args, **kwargs)
    except SystemExit as error:
        if isinstance(error.__cause__, Terminated):
            os._exit(128 + signal.SIGTERM)
        raise


def _initialise_worker() -> None:
    """In a new worker: leave Ctrl-C to the parent, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, LEFT_TO_PARENT)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_with_parent, args=(parent.sentinel,), daemon=True).start()


def _exit_with_parent(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)


@contextmanager
def limited_threads(threads: int | None) -> Iterator[None]:
    """At most `threads` threads in kernels (None: as set), and one in BLAS.

    BLAS sums in an order that depends on its threads: with one, all engines agree to the last bit.
    One run at a time in a process: its limits are BLAS's for all threads of the process.
    """
    with _ALONE, one_blas_thread(), thread_limit(threads):
        yield


def open_executor(
    engine: str, workers: int | None = None, scheduler: str | None = None
) -> AbstractContextManager[Executor | None]:
    """An executor for the time of a `with` block; the block runs on every rank of MPI.

    Parameters
    ----------
    engine : str
        ``"process"``: `ProcessPool`. ``"serial"``: here. ``"dask"``: a cluster at `scheduler`, or
        one on this machine. ``"mpi"``: the other ranks under ``mpiexec``.
    workers : int, optional
        For ``"process"`` and a Dask cluster on this machine; by default one a core.
    scheduler : str, optional
        Address of a Dask scheduler.

    Returns
    -------
    context manager of Executor or None
        None on ranks of MPI that work for rank 0: the block has nothing to do there.

    Raises
    ------
    ImportError
        If the engine is not installed; the message names the extra.
    """
    checks.option(engine, "executor", ENGINES)
    workers = os.cpu_count() or 1 if workers is None else checks.integer(workers, "workers")
    if engine == "process":
        return ProcessPool(workers)
    if engine == "dask":
        return _dask(workers, scheduler)
    return _mpi() if engine == "mpi" else SerialExecutor()


@contextmanager
def _dask(workers: int, scheduler: str | None) -> Iterator[Executor]:
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError("the dask executor needs Dask: pip install '.[dask]'") from error
    options = {"address": scheduler} if scheduler else {
        "n_workers": workers, "threads_per_worker": 1, "dashboard_address": None,
    }  # fmt: skip
    with Client(**options) as client, client.get_executor(pure=False, retries=0) as executor:
        yield executor


def _mpi() -> AbstractContextManager[Executor | None]:
    try:
        from mpi4py import MPI
        from mpi4py.futures import MPICommExecutor
    except ImportError as error:
        raise ImportError("the mpi executor needs mpi4py: pip install '.[mpi]'") from error
    if MPI.COMM_WORLD.size == 1:  # nobody to hand runs to
        return SerialExecutor()
    found: AbstractContextManager[Executor | None] = MPICommExecutor(MPI.COMM_WORLD, root=0)
    return found
