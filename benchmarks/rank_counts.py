"""By how much neurons differ between numbers of ranks, over activations, times and starts.

    python -m benchmarks.rank_counts

Ranks are threads here, which sum in the same order as those of MPI. Said is the largest difference
of a, u or r, relative to 1 + |value|, and of the risk, to one process, on two and three ranks.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import meanfield as mf
from tests.parallel.ranks import Team

CASES: dict[str, tuple[int, str, float, float]] = {
    "erf, k = 1": (1, "erf", 100, 0.0),
    "ReLU, k = 1": (1, "relu", 30, 0.0),
    "ReLU, k = 1, κ = 1": (1, "relu", 30, 1.0),
    "ReLU, k = 2, d = ∞": (2, "relu", math.inf, 0.5),
    "ReLU, k = 2, κ = 1": (2, "relu", 30, 1.0),
}
RUNS = [(1500, 4.0, 3), (1500, 4.0, 4), (1500, 30.0, 3), (10_000, 30.0, 5), (1500, 200.0, 3)]


def compare(case: str, n: int, t_end: float, seed: int) -> str:
    k, activation, dim, second_layer_rate = CASES[case]
    target = mf.CommitteeTarget(k=k, activation=activation)
    problem = mf.Problem(target, activation, dim, second_layer_rate=second_layer_rate)

    def solve(comm: Any) -> mf.Solution:
        part = mf.parallel.draw(mf.gaussian_measure, problem, n, seed=seed, comm=comm)
        return mf.parallel.solve_mean_field(problem, part, t_end, 3, comm=comm, threads=1)

    one, neurons, risk = solve(None), 0.0, 0.0
    for size in (2, 3):
        parts = Team(size).run(solve)
        assert {part.stats["steps"] for part in parts} == {one.stats["steps"]}
        for name in ("a", "u", "r"):
            there = np.concatenate([getattr(part.final, name) for part in parts])
            here = getattr(one.final, name)
            neurons = max(neurons, float(np.max(np.abs(there - here) / (1.0 + np.abs(here)))))
        risk = max(risk, float(np.max(np.abs(parts[0].risk / one.risk - 1.0))))
    implicit = one.stats["implicit_steps"]
    return f"neurons {neurons:.0e}, risk {risk:.0e}, {implicit} implicit steps"


def main() -> None:
    for case in CASES:
        for n, t_end, seed in RUNS:
            print(
                f"{case:20} n = {n:6,} t = {t_end:5g}: {compare(case, n, t_end, seed)}", flush=True
            )


if __name__ == "__main__":
    main()
