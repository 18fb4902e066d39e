"""What a first call waits for: processor time beyond the warm call, in a fresh cache.

Run: python benchmarks/compiling.py [WORDS…] (cases whose name holds one of the words; default all)

Each case runs in a process of its own with an empty NUMBA_CACHE_DIR: once cold, then warm, of which
the least of four counts. The figures are seconds of the processor, so that other work on the
machine matters little.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial

import meanfield as mf

T_END = 0.1


def own(x):
    """A user's own activation."""
    return x / (1 + x * x) ** 0.5


def mean_field(activation, k, n):
    problem = mf.Problem(mf.CommitteeTarget(k=k), activation, 100, second_layer_rate=1.0)
    measure = mf.gaussian_measure(problem, n)
    return lambda: mf.solve_mean_field(problem, measure, T_END, [0.0, T_END])


def finite(solve, activation, as_overlaps):
    problem = mf.Problem(mf.CommitteeTarget(k=2), activation, 100, learning_rate=0.5)
    start = mf.gaussian_weights(problem, 4)
    start = start.overlaps() if as_overlaps else start
    return lambda: solve(problem, start, T_END, save_at=2)


CASES: dict[str, Callable[[], Callable[[], object]]] = {
    f"mean field {getattr(activation, '__name__', activation)}, k = {k}, n = {n}": partial(
        mean_field, activation, k, n
    )
    for n in (1000, 100_000)
    for k in (1, 2)
    for activation in ("erf", "tanh", "relu", own)
}
for _sigma in ("erf", "relu"):
    CASES[f"overlaps {_sigma}"] = partial(finite, mf.solve_overlaps, _sigma, True)
    CASES[f"SGD in law {_sigma}"] = partial(finite, mf.simulate_sgd, _sigma, True)
    CASES[f"SGD in R^d {_sigma}"] = partial(finite, mf.simulate_sgd, _sigma, False)


def measure(name):
    """Print the row of one case, in this process."""
    solve = CASES[name]()
    times = []
    for _ in range(5):
        start = time.process_time()
        solve()
        times.append(time.process_time() - start)
    warm = min(times[1:])
    print(f"{name:36} {times[0] - warm:8.2f} {warm:8.4f}", flush=True)


def main(words):
    print(f"{'seconds of the processor':36} {'compile':>8} {'warm':>8}", flush=True)
    for name in CASES:
        if words and not any(word in name for word in words):
            continue
        with tempfile.TemporaryDirectory() as cache:
            environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
            command = [sys.executable, __file__, "--case", name]
            subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--case"]:
        measure(sys.argv[2])
    else:
        main(sys.argv[1:])
