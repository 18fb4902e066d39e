"""`python -m meanfield warmup`: compile what runs need, once, before many processes do."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from functools import partial

from meanfield.dynamics.overlaps.solve import solve_overlaps
from meanfield.dynamics.particles.solve import solve_mean_field
from meanfield.dynamics.sgd.simulate import simulate_sgd
from meanfield.problem import Problem
from meanfield.starts import gaussian_measure, gaussian_weights
from meanfield.targets import CommitteeTarget

MANY, FEW = 20_000, 20  # neurons: another way to evaluate the field may be the cheaper one
T_END = 0.01


def run(words: Sequence[str]) -> int:
    """Solve small problems of every kind, so that their compiled code lies in the cache.

    Returns
    -------
    int
        0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m meanfield warmup",
        description="Compile the kernels that runs need and keep them on disk: run it once on a "
        "machine, or in a job before many that share a cache (NUMBA_CACHE_DIR).",
    )
    parser.parse_args(words)
    began = time.perf_counter()
    for label, solve in _solves().items():
        start = time.perf_counter()
        solve()
        print(f"{label:32} {time.perf_counter() - start:6.1f} s", flush=True)
    print(f"ready after {time.perf_counter() - began:.0f} s")
    return 0


def _solves() -> dict[str, Callable[[], object]]:
    solves: dict[str, Callable[[], object]] = {}
    for k in (1, 2):
        for dim in (10, math.inf):
            for activation in ("erf", "relu"):
                label = f"mean field, {activation}, k = {k}, d = {dim}"
                solves[label] = partial(_mean_field, activation, k, dim)
    solves["mean field, tanh"] = partial(_mean_field, "tanh", 1, 10)
    solves["mean field, tanh, k = 2"] = partial(_mean_field, "tanh", 2, math.inf)
    solves["mean field, hermite3, k = 2"] = partial(_mean_field, "hermite3", 2, 10)
    solves["overlap equations"] = _overlaps
    solves["SGD"] = _sgd
    return solves


def _mean_field(activation: str, k: int, dim: float) -> None:
    problem = Problem(CommitteeTarget(k=k), activation, dim, second_layer_rate=1.0)
    for n in (FEW, MANY):
        solve_mean_field(problem, gaussian_measure(problem, n), T_END, [0.0, T_END])


def _overlaps() -> None:
    for activation in ("erf", "relu"):
        for p in (4, 70):
            problem = Problem(CommitteeTarget(k=2), activation, 100, learning_rate=0.5)
            overlaps = gaussian_weights(problem, p).overlaps()
            solve_overlaps(problem, overlaps, T_END, sgd_noise=p == 4, save_at=2)


def _sgd() -> None:
    for activation in ("erf", "relu"):
        problem = Problem(CommitteeTarget(k=2), activation, 100, learning_rate=0.5)
        weights = gaussian_weights(problem, 4)
        for state in (weights, weights.overlaps()):
            simulate_sgd(problem, state, T_END, save_at=2, runs=2)
