"""What the machine can do at best, and how things are timed."""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
from numba import prange

from meanfield.kernels.lanes import fill, load, multiply_add, total
from meanfield.kernels.options import parallel


def name() -> str:
    """Processor, cores and versions."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        model = models[0] if models else model
    return (
        f"{model}, {os.cpu_count()} cores, {numba.get_num_threads()} threads; "
        f"Python {platform.python_version()}, NumPy {np.__version__}, numba {numba.__version__}"
    )


def peak_memory() -> float:
    """Largest resident memory of this process, KiB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the parent had when it forked
        lines = status.read_text(encoding="utf-8").splitlines()
        return float(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


class Seconds(NamedTuple):
    """Least time of a call by the clock, and by what its threads spent on the processors."""

    wall: float
    cpu: float


def interleaved(calls: dict[str, Callable[[], object]], repeats: int = 7) -> dict[str, Seconds]:
    """Times of each call, measured in turns: a busy machine slows all of them alike."""
    for call in calls.values():
        call()
    least = dict.fromkeys(calls, Seconds(np.inf, np.inf))
    for _ in range(repeats):
        for label, call in calls.items():
            began, spent = time.perf_counter(), time.process_time()
            call()
            wall, cpu = time.perf_counter() - began, time.process_time() - spent
            least[label] = Seconds(min(least[label].wall, wall), min(least[label].cpu, cpu))
    return least


@parallel
def _touch(source, target):
    for i in prange(target.shape[0]):
        for c in range(target.shape[1]):
            target[i, c] = source[i, c] + source[i, target.shape[1]]


def touching(n: int, k: int) -> Callable[[], object]:
    """Read a, u, r of n neurons and write du, dr, and nothing else."""
    source, target = np.ones((n, k + 2)), np.ones((n, k + 1))
    return lambda: _touch(source, target)


@parallel
def _multiply_adds(x, out, times):
    for task in prange(out.size):
        a = b = c = d = e = f = g = h = load(x, 0)
        scale = fill(0.999)
        for _ in range(times):
            a, b, c, d = (
                multiply_add(a, scale, scale), multiply_add(b, scale, scale),
                multiply_add(c, scale, scale), multiply_add(d, scale, scale),
            )  # fmt: skip
            e, f, g, h = (
                multiply_add(e, scale, scale), multiply_add(f, scale, scale),
                multiply_add(g, scale, scale), multiply_add(h, scale, scale),
            )  # fmt: skip
        out[task] = total(a) + total(b) + total(c) + total(d)
        out[task] += total(e) + total(f) + total(g) + total(h)


def peak() -> float:
    """Floating-point operations a second, all threads: eight independent chains of eight lanes."""
    times, tasks = 200_000, 4 * numba.get_num_threads()
    x, out = np.linspace(0.1, 0.8, 8), np.empty(tasks)
    seconds = interleaved({"peak": lambda: _multiply_adds(x, out, times)})["peak"].wall
    return 2.0 * 8 * 8 * times * tasks / seconds
