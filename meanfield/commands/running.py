"""What the commands that make runs have in common."""

from __future__ import annotations

import argparse
import os

from meanfield.studies.executors import ENGINES


def add_running(parser: argparse.ArgumentParser, default: str) -> None:
    """Where runs are made, and what is done about those that a folder holds."""
    add = parser.add_argument
    add("--executor", choices=ENGINES, default=default,
        help=f"where to run ({default}); mpi: under mpiexec, with at least two ranks")  # fmt: skip
    add("--workers", type=int, default=None, help="processes, or workers of Dask (one a core)")
    add("--scheduler", default=None, help="address of a Dask scheduler (a cluster here)")
    add("--threads", type=int, default=None, help="threads of each run (cores/workers)")
    add("--retry", action="store_true", help="make runs again that failed with an error")
    add("--extend", action="store_true", help="take over a folder that holds another study")


def threads_of(options: argparse.Namespace) -> int | None:
    """As asked for, or the cores shared out among the processes that were."""
    if options.threads is None and options.executor == "process" and options.workers:
        return max(1, (os.cpu_count() or 1) // options.workers)
    return None if options.threads is None else int(options.threads)
