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

from meanfield.kernels.options import shared
from meanfield.kernels.simd import fill, load, multiply_add, total


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


PAUSE = 0.05  # s before each turn: the threads of XLA spin for a while after their work


def interleaved(calls: dict[str, Callable[[], object]], repeats: int = 7) -> dict[str, Seconds]:
    """Times of each call, measured in turns: a busy machine slows all of them alike."""
    for call in calls.values():
        call()
    least = dict.fromkeys(calls, Seconds(np.inf, np.inf))
    for _ in range(repeats):
        for label, call in calls.items():
            time.sleep(PAUSE)
            began, spent = time.perf_counter(), time.process_time()
            call()
            wall, cpu = time.perf_counter() - began, time.process_time() - spent
            least[label] = Seconds(min(least[label].wall, wall), min(least[label].cpu, cpu))
    return least


def in_a_row(call: Callable[[], object], repeats: int) -> float:
    """Median seconds of a call among calls without a pause, as a solver makes them."""
    call()
    seconds = []
    for _ in range(max(7, repeats)):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


@shared(lambda source, target: (-(-len(target) // 4096), 10.0 * target.size))
def _touch(first, last, source, target):
    for i in range(4096 * first, min(4096 * last, target.shape[0])):
        for c in range(target.shape[1]):
            target[i, c] = source[i, c] + source[i, target.shape[1]]


def touching(n: int, k: int) -> Callable[[], object]:
    """Read a, u, r of n neurons and write du, dr, and nothing else."""
    source, target = np.ones((n, k + 2)), np.ones((n, k + 1))
    return lambda: _touch(source, target)


@shared(lambda x, factor, out, times: (out.size, 5.0 * times * out.size))
def _multiply_adds(first, last, x, factor, out, times):
    for task in range(first, last):
        scale, one = fill(factor), fill(x[0])
        a, b, c, d = load(x, 0), load(x, 1), load(x, 2), load(x, 3)
        e, f, g, h = load(x, 4), load(x, 5), load(x, 6), load(x, 7)
        for _ in range(times):
            a, b, c, d = (
                multiply_add(a, scale, one), multiply_add(b, scale, one),
                multiply_add(c, scale, one), multiply_add(d, scale, one),
            )  # fmt: skip
            e, f, g, h = (
                multiply_add(e, scale, one), multiply_add(f, scale, one),
                multiply_add(g, scale, one), multiply_add(h, scale, one),
            )  # fmt: skip
        out[task] = total(a) + total(b) + total(c) + total(d)
        out[task] += total(e) + total(f) + total(g) + total(h)


def peak() -> float:
    """Floating-point operations a second, all threads: eight chains of eight lanes.

    By the time on the processors, which a busy machine does not stretch. Chains that start alike,
    or factors known beforehand, would be merged by the compiler.
    """
    times, tasks = 200_000, 4 * numba.get_num_threads()
    x, out = np.linspace(0.1, 0.8, 15), np.empty(tasks)
    seconds = interleaved({"peak": lambda: _multiply_adds(x, -0.3, out, times)})["peak"].cpu
    return numba.get_num_threads() * 2.0 * 8 * 8 * times * tasks / seconds
