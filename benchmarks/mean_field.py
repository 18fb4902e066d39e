"""Speed of the particle solver: time per neuron and right-hand side, for several n and d.

Baseline: the mean-field right-hand side by direct quadrature over (z, ρ, U), a compiled loop
over 64 × 16 × 24 nodes for each neuron (64 at d = ∞), measured in the same run on few neurons. It
keeps every neuron's integrand to itself, so its time is proportional to n.

Floor: a right-hand side must read (a, u, r) and write (du, dr) of each neuron once, 40 bytes at
k = 1 with a fixed second layer; the time of a compiled copy of as many bytes is measured in the
same run.

    python benchmarks/mean_field.py
"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable

import numpy as np
from numba import prange

import meanfield as mf
from meanfield.fields.slices import SliceField
from meanfield.kernels.options import parallel, thread_limit
from meanfield.quadrature import chi_rule, sphere_coordinate_rule

REPEATS = 7


@parallel
def direct_velocity(a, u, r, t, wt, rho, wr, U, wU, target, f, out_u, out_r):
    """The right-hand side by quadrature for erf and k = 1: t over the whole line, ρ, U."""
    n, scale = a.size, math.sqrt(2.0 / math.pi)
    for q in prange(t.size):
        for s in range(rho.size):
            total = 0.0
            for i in range(n):
                for m in range(U.size):
                    x = u[i, 0] * t[q] + r[i] * rho[s] * U[m]
                    total += a[i] * wU[m] * math.erf(x / math.sqrt(2.0))
            f[q, s] = total / n
    for i in prange(n):
        along, across = 0.0, 0.0
        for q in range(t.size):
            for s in range(rho.size):
                epsilon = wt[q] * wr[s] * (target[q] - f[q, s])
                for m in range(U.size):
                    x = u[i, 0] * t[q] + r[i] * rho[s] * U[m]
                    slope = scale * math.exp(-0.5 * x * x) * epsilon * wU[m]
                    along += slope * t[q]
                    across += slope * rho[s] * U[m]
        out_u[i, 0] = a[i] * along
        out_r[i] = a[i] * across


@parallel
def touch(a, u, r, out_u, out_r):
    """Read each neuron and write its velocity, and nothing else."""
    for i in prange(a.size):
        out_u[i, 0] = a[i] * u[i, 0]
        out_r[i] = a[i] * r[i]


def median_time(call: Callable[[], object]) -> float:
    """Median of several timings, after one that compiles."""
    call()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def problem_and_start(dim: float, n: int) -> tuple[mf.Problem, mf.ParticleMeasure]:
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=dim)
    return problem, mf.gaussian_measure(problem, n, seed=1, sampling="antithetic-sobol")


def direct_time(dim: float) -> float:
    """Seconds per neuron of the baseline."""
    n = 200 if math.isfinite(dim) else 20_000
    problem, measure = problem_and_start(dim, n)
    t, wt = chi_rule(1, 32)
    t, wt = np.concatenate((-t, t)), np.concatenate((wt, wt)) / 2
    rho, wr = chi_rule(dim - 1, 16) if math.isfinite(dim) else (np.ones(1), np.ones(1))
    U, wU = sphere_coordinate_rule(dim - 1, 24) if math.isfinite(dim) else (np.zeros(1), np.ones(1))
    target = problem.target(t[:, None])
    f, out_u, out_r = np.empty((len(t), len(rho))), np.empty((n, 1)), np.empty(n)
    a, u, r = measure.a, measure.u, measure.r
    return (
        median_time(
            lambda: direct_velocity(a, u, r, t, wt, rho, wr, U, wU, target, f, out_u, out_r)
        )
        / n
    )


def slice_time(dim: float, n: int) -> float:
    """Seconds per neuron of one right-hand side."""
    problem, measure = problem_and_start(dim, n)
    field = SliceField(problem)
    field.prepare(measure)
    a, u, r = measure.a, measure.u, measure.r
    outs = np.empty_like(a), np.empty_like(u), np.empty_like(r)
    return median_time(lambda: field.velocity(a, u, r, *outs)) / n


def floor_time(n: int) -> float:
    """Seconds per neuron of touching what a right-hand side must touch."""
    _, measure = problem_and_start(1000, n)
    outs = np.empty_like(measure.u), np.empty_like(measure.r)
    return median_time(lambda: touch(measure.a, measure.u, measure.r, *outs)) / n


def main() -> None:
    n = 100_000
    floor = floor_time(10 * n)
    print(f"ns per neuron and right-hand side, erf, k = 1, n = {n:,}; floor {1e9 * floor:.1f}")
    print(f"{'d':>8} {'direct':>10} {'slices':>8} {'ratio':>9} {'gap to floor':>13}")
    for dim in (10, 1000, 10**6, math.inf):
        direct, ours = direct_time(dim), slice_time(dim, n)
        print(
            f"{dim:>8} {1e9 * direct:>10.0f} {1e9 * ours:>8.1f} {direct / ours:>8.0f}×"
            f" {ours / floor:>12.0f}×"
        )
    sizes = np.array([10_000, 100_000, 1_000_000])
    times = np.array([slice_time(1000, int(size)) * size for size in sizes])
    exponent = np.polyfit(np.log(sizes[1:]), np.log(times[1:]), 1)[0]
    print("\nd = 1000, seconds per right-hand side at n = 10⁴, 10⁵, 10⁶:", times.round(5))
    print(f"fitted exponent of time against n from 10⁵ to 10⁶: {exponent:.3f}")
    with thread_limit(1):
        single = slice_time(1000, n)
    print(f"1 thread against all: {single / slice_time(1000, n):.2f}×")
    problem, start = problem_and_start(1000, n)
    begin = time.perf_counter()
    solution = mf.solve_mean_field(problem, start, 30.0, [0.0, 30.0])
    seconds = time.perf_counter() - begin
    evaluations = solution.stats["rhs_evaluations"]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(
        f"\nn = {n:,}, d = 1000, to t = 30: {seconds:.2f} s, {evaluations} right-hand sides, "
        f"{1e9 * seconds / evaluations / n:.0f} ns per neuron and right-hand side all included; "
        f"field error {solution.stats['field_error']:.0e}; peak memory {memory:.0f} MiB"
    )


if __name__ == "__main__":
    main()
