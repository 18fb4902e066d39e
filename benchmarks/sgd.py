"""Speed of SGD: in R^d against touching the weights once, and exact in law at d = 10⁶.

Floor in R^d. A step must read and write W once: 16 p d bytes (1.6 MB at p = 100, d = 1000, in the
second-level cache). The baseline is the least loop that does so, W *= s, compiled with the same
options, its time measured in turns with the step's. Besides, a step draws d normals, takes p + k
activations and does 4 p d operations; each is timed alone, so that the gap is accounted for.

Floor exact in law. There is nothing to read; the draws (k + p normals, one χ²) and the activations
are what no arrangement avoids, and are timed alone.

Times are the least over many short turns, on one thread, so that a busy machine disturbs the two
sides of a ratio alike.

    python -m benchmarks.sgd [turns]
"""

from __future__ import annotations

import sys
import time

import numpy as np

import meanfield as mf
from meanfield.dynamics.sgd.runs import LawRuns, WeightsRuns, make_step, make_streams
from meanfield.dynamics.sgd.simulate import simulate_sgd
from meanfield.kernels.dynamics.sgd.random import (
    chi_square,
    fill_normals,
    read_stream,
    write_stream,
)
from meanfield.kernels.dynamics.sgd.step import batch_gradient
from meanfield.kernels.options import serial
from meanfield.kernels.threads import thread_limit

TURNS = 300


@serial
def touch(W, factor, times):
    """Read and write W (p, d) once, `times` times."""
    for _ in range(times):
        for i in range(W.shape[0]):
            for j in range(W.shape[1]):
                W[i, j] *= factor


@serial
def draw(words, x, degrees, times):
    """Normals into x and, if degrees > 0, one χ²; `times` times."""
    s, total = read_stream(words), 0.0
    for _ in range(times):
        s = fill_normals(s, x)
        if degrees > 0.0:
            square, s = chi_square(s, degrees)
            total += square
    write_stream(words, s)
    return total


@serial
def activations(step, words, a, a_star, pre, pre_star, X, Z, C, value, move, times):
    """The gradient of one sample, `times` times."""
    s = read_stream(words)
    for _ in range(times):
        s, _ = batch_gradient(step, s, a, a_star, pre, pre_star, X, Z, C, value, move)
    write_stream(words, s)


def least_times(works, turns):
    """Least time of each work, {name: (function of a count, count)}, in µs, measured in turns."""
    best = dict.fromkeys(works, np.inf)
    for work, _ in works.values():
        work(1)
    for _ in range(turns):
        for name, (work, count) in works.items():
            began = time.perf_counter()
            work(count)
            best[name] = min(best[name], 1e6 * (time.perf_counter() - began) / count)
    return best


def gradient_alone(step, p, k):
    """The activations of a step, alone."""
    rng, words = np.random.default_rng(1), make_streams(1, 1)[0]
    pre, pre_star = rng.standard_normal((1, p)), rng.standard_normal((1, k))
    samples = np.empty((1, 0)), np.empty((1, 0))  # which clipping alone would read
    rest = (np.ones(p), np.ones(k), pre, pre_star, *samples, np.empty((1, p)))
    rest += np.empty(p), np.empty(p)  # work space
    return lambda count: activations(step, words, *rest, count)


def in_r_d(turns, p=100, d=1000, k=2):
    problem = mf.Problem(mf.CommitteeTarget(k=k), dim=d, learning_rate=0.5)
    start = mf.gaussian_weights(problem, p)
    step = make_step(problem, p, 1, False)
    run = WeightsRuns(problem, start, step, make_streams(0, 1), "Weights")
    W, x, words = np.array(start.W), np.empty(d), make_streams(2, 1)[0]
    # a turn is about a millisecond: shorter than a busy machine leaves one alone, and long enough
    # that starting a call, some 10 µs, hardly counts
    times = least_times(
        {
            "touch": (lambda count: touch(W, 1.0 + 1e-12, count), 60),
            "step": (run.advance, 60),
            "normals": (lambda count: draw(words, x, 0.0, count), 60),
            "activations": (gradient_alone(step, p, k), 60),
        },
        turns,
    )
    speed = 16e-3 * p * d / times["touch"]
    print(f"SGD in R^d, p = {p}, d = {d}, k = {k}, one run on one thread")
    print(f"  floor: W read and written once {times['touch']:8.2f} µs  ({speed:.0f} GB/s)")
    print(f"  step                           {times['step']:8.2f} µs")
    print(f"    of which {d} normals         {times['normals']:8.2f} µs")
    print(f"    of which activations         {times['activations']:8.2f} µs")
    rest = times["step"] - times["normals"] - times["activations"]
    print(f"    the pass over W, the rest    {rest:8.2f} µs  ({4e-3 * p * d / rest:.1f} Gflop/s)")
    ratio = times["touch"] / times["step"]
    print(f"  ratio floor/step {ratio:.2f}, wanted at least 0.50, gap {1 / ratio:.2f}×")
    return ratio


def exact_in_law(turns, p=4, k=2, d=10**6):
    problem = mf.Problem(mf.CommitteeTarget(k=k), dim=d, learning_rate=0.5)
    start = mf.gaussian_weights(problem.at_dim(100), p).overlaps()
    step = make_step(problem, p, 1, False)
    run = LawRuns(problem, start, step, make_streams(0, 1))
    x, words = np.empty(k + p), make_streams(2, 1)[0]
    times = least_times(
        {
            "step": (run.advance, 2_000),
            "draws": (lambda count: draw(words, x, d - k - p, count), 2_000),
            "activations": (gradient_alone(step, p, k), 2_000),
        },
        turns,
    )
    print(f"SGD exact in law, p = {p}, k = {k}, d = {d:,}, one run on one thread")
    draws, rest = times["draws"], times["activations"]
    print(f"  floor: draws {draws:.3f} + activations {rest:.3f} = {draws + rest:.3f} µs")
    ratio = (draws + rest) / times["step"]
    print(f"  step {times['step']:.3f} µs, wanted under 1; floor/step {ratio:.2f}")
    print("  against p (k = 2) and d, µs a step:")
    for width in (2, 4, 8, 16, 32, 64, 128):
        cells = []
        for dim in (10**3, 10**6, 10**9):
            at_dim = problem.at_dim(dim)
            wide = mf.gaussian_weights(problem.at_dim(1000), width).overlaps()
            chain = LawRuns(at_dim, wide, make_step(at_dim, width, 1, False), make_streams(0, 1))
            works = {"step": (chain.advance, 2_000 // width + 10)}
            cells.append(least_times(works, turns)["step"])
        print(f"    p = {width:4d}" + "".join(f"  {cell:8.3f}" for cell in cells))
    return times["step"]


def whole_call():
    """The public call, risk and states recorded, one thread and all."""
    problem = mf.Problem(mf.CommitteeTarget(k=2), dim=10**6, learning_rate=0.5)
    start = mf.gaussian_weights(problem.at_dim(100), 4).overlaps()
    for threads in (1, None):
        options = {"runs": 8, "save_at": 51, "threads": threads}
        simulate_sgd(problem, start, 0.001, **options)
        began = time.perf_counter()
        sol = simulate_sgd(problem, start, 0.05, **options)
        wall = time.perf_counter() - began
        per_step = 1e6 * wall / sol.stats["steps"] / 8
        print(f"simulate_sgd, 8 runs, threads = {threads}: {per_step:.3f} µs a step and run")


def main(turns: int = TURNS) -> None:
    with thread_limit(1):
        in_r_d(turns)
        exact_in_law(turns)
    whole_call()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else TURNS)
