"""One mean-field solve split over ranks: time, memory and messages of each rank.

    mpiexec -n 2 python benchmarks/parallel.py [--neurons 2000000] [--k 1]

Without mpiexec it is the same on one rank. One thread a rank.
"""

from __future__ import annotations

import argparse
import resource
import time
from typing import Any

import meanfield as mf


def communicator() -> Any:
    try:
        from mpi4py import MPI
    except ImportError:
        return None
    return MPI.COMM_WORLD


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--neurons", type=int, default=2_000_000)
    parser.add_argument("--k", type=int, default=1)
    parser.add_argument("--dim", type=float, default=1000)
    parser.add_argument("--t-end", type=float, default=5.0)
    options = parser.parse_args()
    comm = communicator()
    problem = mf.Problem(mf.CommitteeTarget(k=options.k), dim=options.dim)
    few = mf.parallel.draw(mf.gaussian_measure, problem, 10_000, comm=comm)
    mf.parallel.solve_mean_field(
        problem, few, 0.1, 2, comm=comm, threads=1
    )  # loads what is compiled
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    part = mf.parallel.draw(mf.gaussian_measure, problem, options.neurons, comm=comm)
    started = time.perf_counter()
    solution = mf.parallel.solve_mean_field(problem, part, options.t_end, 2, comm=comm, threads=1)
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if comm is not None and comm.rank > 0:
        return
    stats = solution.stats
    mean = stats["bytes_reduced"] / max(stats["reductions"], 1)
    print(
        f"{stats['ranks']} ranks, {part.n:,} neurons on the first: {seconds:.2f} s, "
        f"{stats['rhs_evaluations']} right-hand sides, "
        f"{1e9 * seconds / stats['rhs_evaluations'] / part.n:.0f} ns a neuron and right-hand side; "
        f"{1024 * (after - before) / part.n:.0f} bytes a neuron at the peak; "
        f"{stats['mesh_points']} mesh points, {stats['directions']} directions, "
        f"{stats['reductions']} reductions of {mean:.0f} "
        f"bytes in the mean; {solution.status}, error {stats['field_error']:.0e}"
    )


if __name__ == "__main__":
    main()
