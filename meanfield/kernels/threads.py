"""Loops over independent tasks, shared between the threads of one pool.

numba's own parallel loops are compiled three times over, most of what a first call waited for, and
their threads spin. Here a kernel is the loop over tasks first ≤ i < last, compiled once, for one
thread as for many; each task writes its own part of the output, so that no result depends on how
the tasks are shared.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numba

CHUNKS = 4  # for each thread: one that is held up leaves its tasks to the others

_pools: dict[int, ThreadPoolExecutor] = {}


def _pool() -> ThreadPoolExecutor:
    if not _pools:
        threads = max(1, numba.config.NUMBA_NUM_THREADS - 1)  # the calling thread works as well
        _pools[0] = ThreadPoolExecutor(threads, thread_name_prefix="meanfield")
    return _pools[0]


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads
    os.register_at_fork(after_in_child=_pools.clear)


def share(kernel: Any, count: Callable[..., int]) -> Callable[..., None]:
    """The function of `args` that runs kernel(first, last, *args) over count(*args) tasks."""

    def run(*args):
        tasks = count(*args)
        threads = min(numba.get_num_threads(), tasks)
        if threads <= 1:
            kernel(0, tasks, *args)
            return
        chunks = min(tasks, CHUNKS * threads)
        turns = iter(range(chunks))  # `next` of it is atomic: each chunk is taken once

        def work():
            for chunk in turns:
                kernel(chunk * tasks // chunks, (chunk + 1) * tasks // chunks, *args)

        others = [_pool().submit(work) for _ in range(threads - 1)]
        try:
            work()
        finally:  # an interrupt leaves no thread behind that still writes
            for _ in turns:
                pass
            wait(others)
        for other in others:
            other.result()

    run.__name__, run.__doc__, run.__module__ = kernel.__name__, kernel.__doc__, kernel.__module__
    run.__wrapped__ = kernel  # type: ignore[attr-defined]
    return run
