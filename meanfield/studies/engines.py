"""Executors by name, for the command line: processes here, a Dask cluster, the ranks of MPI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from meanfield import checks
from meanfield.studies.executors import ProcessPool, SerialExecutor

ENGINES = ("process", "serial", "dask", "mpi")


@contextmanager
def open_executor(
    engine: str, workers: int | None = None, scheduler: str | None = None
) -> Iterator[Executor | None]:
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

    Yields
    ------
    Executor or None
        None on ranks of MPI that work for rank 0: the block has nothing to do there.

    Raises
    ------
    ImportError
        If the engine is not installed; the message names the extra.
    """
    checks.option(engine, "executor", ENGINES)
    workers = os.cpu_count() or 1 if workers is None else checks.integer(workers, "workers")
    opener = {"process": _processes, "serial": _serial, "dask": _dask, "mpi": _mpi}[engine]
    with opener(workers, scheduler) as executor:
        yield executor


@contextmanager
def _processes(workers: int, scheduler: str | None) -> Iterator[Executor]:
    with ProcessPool(workers) as pool:
        yield pool


@contextmanager
def _serial(workers: int, scheduler: str | None) -> Iterator[Executor]:
    yield SerialExecutor()


@contextmanager
def _dask(workers: int, scheduler: str | None) -> Iterator[Executor]:
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError(
            "the dask executor needs Dask: pip install 'meanfield-sgd[dask]'"
        ) from error
    options = {"address": scheduler} if scheduler else {
        "n_workers": workers, "threads_per_worker": 1, "dashboard_address": None,
    }  # fmt: skip
    with Client(**options) as client, client.get_executor(pure=False, retries=0) as executor:
        yield executor


@contextmanager
def _mpi(workers: int, scheduler: str | None) -> Iterator[Executor | None]:
    try:
        from mpi4py import MPI
        from mpi4py.futures import MPICommExecutor
    except ImportError as error:
        raise ImportError(
            "the mpi executor needs mpi4py: pip install 'meanfield-sgd[mpi]'"
        ) from error
    if MPI.COMM_WORLD.size == 1:  # nobody to hand runs to
        yield SerialExecutor()
        return
    with MPICommExecutor(MPI.COMM_WORLD, root=0) as executor:
        yield executor
