"""Cost of the overlap equations against compiled loops over closed-form integrals.

Run: python benchmarks/overlaps.py [--quick]

The loops sum p³ (drift) and p⁴ (γ/p term) integrals of erf one by one, as published codes do, on
one thread: "plain" as numba compiles them, "fast" with our own compiler options, which let it
reorder and so vectorise the sums. Everything is measured in the same run, best of several; ours on
one thread of our kernels and on all (matrix products use as many as the BLAS is set to; with other
work on the machine, set OPENBLAS_NUM_THREADS=1). Both ratios are against "plain", then "fast".
The floor of a drift is its two matrix products alone, called from Python as ours is; that of the
γ/p term one vectorised arc sine for each of its p⁴/4 distinct integrals, on as many threads as
ours. Both leave out what an ideal would still have to do (p² roots and divisions; the covariances):
gap = ours/floor.
"""

from __future__ import annotations

import math
import sys
import time
from functools import partial

import numba
import numpy as np

import meanfield as mf
from meanfield.dynamics.overlaps.averages import OverlapAverages
from meanfield.dynamics.overlaps.flow import OverlapFlow
from meanfield.dynamics.overlaps.noise import ErfNoise, choose_noise, network_of
from meanfield.dynamics.overlaps.solve import solve_overlaps
from meanfield.kernels.inverse_trigonometry import EDGE, asin_sum
from meanfield.kernels.options import serial, shared
from meanfield.kernels.threads import thread_limit


def loop_velocity(C, a, e, p, rate, dM, dQ):
    """dM/dt, dQ/dt by one closed-form integral at a time; rate = γ/p, 0 leaves the noise out."""
    n = e.size
    for i in range(p):
        for l in range(n):
            total = 0.0
            for m in range(n):
                c11, c13, c33 = 1.0 + C[i, i], C[i, m], 1.0 + C[m, m]
                top = C[l, m] * c11 - C[i, l] * c13
                total += e[m] * top / (math.sqrt(c11 * c33 - c13 * c13) * c11)
            if l < p:
                dQ[i, l] += a[i] * total * 2.0 / math.pi
                dQ[l, i] += a[i] * total * 2.0 / math.pi
            else:
                dM[i, l - p] += a[i] * total * 2.0 / math.pi
    if rate == 0.0:
        return
    for i in range(p):
        for j in range(p):
            a1, a2, c12 = 1.0 + C[i, i], 1.0 + C[j, j], C[i, j]
            l4 = a1 * a2 - c12 * c12
            total = 0.0
            for m in range(n):
                c13, c23 = C[i, m], C[j, m]
                l1 = l4 * (1.0 + C[m, m]) - c23 * c23 * a1 - c13 * c13 * a2 + 2.0 * c12 * c13 * c23
                for o in range(n):
                    c14, c24 = C[i, o], C[j, o]
                    l0 = l4 * C[m, o] - c23 * c24 * a1 - c13 * c14 * a2
                    l0 += c12 * (c13 * c24 + c14 * c23)
                    l2 = l4 * (1.0 + C[o, o]) - c24 * c24 * a1 - c14 * c14 * a2
                    l2 += 2.0 * c12 * c14 * c24
                    total += e[m] * e[o] * math.asin(l0 / math.sqrt(l1 * l2))
            dQ[i, j] += rate * a[i] * a[j] * total * 4.0 / math.pi**2 / math.sqrt(l4)


plain_loops = numba.njit(loop_velocity)
fast_loops = serial(loop_velocity)


@shared(lambda x, ones, repeats, out: (repeats, 5.0 * repeats * x.size))
def bare_arc_sines(first, last, x, ones, repeats, out):
    """Σ asin(x) over a row held in cache, `repeats` times."""
    for block in range(first, last):
        out[block], _ = asin_sum(x, ones, 1.0, ones, np.empty(EDGE))


def best(function, seconds: float = 0.5) -> float:
    """Shortest time of one call, over at least three calls and about `seconds`."""
    function()
    times: list[float] = []
    while len(times) < 3 or (sum(times) < seconds and len(times) < 1000):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def setting(p: int, gamma: float):
    target = mf.CommitteeTarget(k=2)
    problem = mf.Problem(target, dim=max(1000, 4 * p), learning_rate=gamma)
    return problem, mf.gaussian_weights(problem, p, seed=0).overlaps()


def compare(p: int, noise: bool) -> None:
    problem, overlaps = setting(p, float(p) if noise else 0.0)
    averages = OverlapAverages(problem)
    noisy = ErfNoise(problem.target) if noise else None
    flow = OverlapFlow(problem, overlaps, averages, noisy, False)
    out = np.empty_like(flow.y0)
    C = np.block([[overlaps.Q, overlaps.M], [overlaps.M.T, overlaps.P]])
    e = np.concatenate((-overlaps.a / p, averages.e_target))
    rate = problem.learning_rate / p
    dM, dQ = np.zeros_like(overlaps.M), np.zeros_like(overlaps.Q)

    plain_loops(C, overlaps.a, e, p, rate, dM, dQ)
    mine = flow.velocity_of(flow.y0)
    worst = max(np.abs(mine[0] - dQ).max(), np.abs(mine[1] - dM).max())
    plain = best(lambda: plain_loops(C, overlaps.a, e, p, rate, dM, dQ))
    fast = best(lambda: fast_loops(C, overlaps.a, e, p, rate, dM, dQ))
    line = f"{p:6d}{1e3 * plain:11.3f}{1e3 * fast:11.3f}"
    alone = math.nan  # floors are one thread's, and so is the gap: waking another costs more
    for threads in dict.fromkeys((1, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(threads)
        ours = best(lambda: flow.velocity(0.0, flow.y0, out))
        alone = ours if threads == 1 else alone
        line += f"{1e3 * ours:10.3f}{plain / ours:7.1f}{fast / ours:7.1f}"
    with thread_limit(1):
        floor = noise_floor(p, len(e)) if noise else drift_floor(flow)
    print(line + f"{1e3 * floor:10.3f}{alone / floor:7.1f}{worst:10.1e}")


def drift_floor(flow: OverlapFlow) -> float:
    block = flow.y0.reshape(flow.p, flow.columns)
    D, out = np.ones((flow.p, flow.p)), np.empty_like(block)
    return best(lambda: (np.matmul(D, block, out=out), block @ block.T))


def noise_floor(p: int, n: int) -> float:
    x = np.random.default_rng(0).uniform(-0.5, 0.5, n * (n + 1) // 2)
    out = np.empty(p * (p + 1) // 2)
    return best(lambda: bare_arc_sines(x, np.ones(len(x)), len(out), out))


def wide(activation: str, p: int) -> None:
    """The forms of the γ/p term that wide networks have, of a network on its way."""
    target = mf.CommitteeTarget(k=2, activation=activation)
    problem = mf.Problem(target, activation, dim=1000, learning_rate=1.0)
    overlaps = mf.gaussian_weights(problem, p, seed=0).overlaps()
    near = 0.5 * np.sign(overlaps.M)
    cross = overlaps.M @ near.T
    Q = overlaps.Q + near @ near.T + cross + cross.T
    overlaps = mf.Overlaps(Q, overlaps.M + near, overlaps.P, overlaps.a)
    averages, network = OverlapAverages(problem), network_of(overlaps, target)
    for method in ("expanded", "sampled"):
        noise = choose_noise(averages, problem, p, True, method, None, 0)
        assert noise is not None
        taken = best(partial(noise.term, network))
        line = f"{activation:>8}{p:6d}{type(noise).__name__:>16}{1e3 * taken:12.1f}"
        print(f"{line}{noise.error(network):12.1e}")


def main() -> None:
    quick = "--quick" in sys.argv
    threads = numba.config.NUMBA_NUM_THREADS
    columns = f"{'p':>6}{'plain ms':>11}{'fast ms':>11}"
    for count in dict.fromkeys((1, threads)):
        columns += f"{f'{count} thr ms':>10}{'ratios':>14}"
    columns += f"{'floor ms':>10}{'gap':>7}{'differ':>10}"
    for noise, widths in ((False, (8, 32, 128, 256, 500)), (True, (4, 8, 16, 32, 64))):
        print(f"\nOne right-hand side, erf, k = 2, {'with' if noise else 'without'} the γ/p term")
        print(columns)
        for p in widths[:3] if quick else widths:
            compare(p, noise)
    print("\nThe γ/p term of wide networks, k = 2, d = 1000, turned towards the target")
    print(f"{'σ':>8}{'p':>6}{'form':>16}{'ms':>12}{'says':>12}")
    for activation in ("tanh", "relu"):
        for p in (32,) if quick else (64, 200):
            wide(activation, p)
    problem, overlaps = setting(500, 0.0)
    solve_overlaps(problem, overlaps, 0.01)
    start = time.perf_counter()
    run = solve_overlaps(problem, overlaps, 1.0 if quick else 100.0)
    taken, evaluations = time.perf_counter() - start, run.stats["rhs_evaluations"]
    print(f"\nGradient flow, p = 500, k = 2, to t = {run.t[-1]:g}: {taken:.2f} s, "
          f"{evaluations} right-hand sides, risk {run.risk[-1]:.3e}, {run.status}")  # fmt: skip


if __name__ == "__main__":
    main()
