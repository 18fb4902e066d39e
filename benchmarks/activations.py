"""What each activation costs, and how accurate its averages are.

    python -m benchmarks.activations [NAME ...]

Columns: largest error of g0, g1, g2 against a rule of twice the nodes (0: closed form) at D = ∞ and
9; time of an average; error stated for the pair averages of units with variances up to 4; time of
one right-hand side of the overlap equations in gradient flow, p = 10 and 100, on one thread; time
of one SGD step in law at p = 4.
"""

from __future__ import annotations

import math
import sys
import time

import numpy as np

import meanfield as mf
from meanfield.activations import custom, get_activation
from meanfield.gaussian.pair_averages import pair_averages
from meanfield.kernels.threads import thread_limit

NAMES = (
    "erf", "relu", "leaky_relu", "square", "hermite3", "tanh", "sigmoid", "softplus", "gelu",
    "sine",
)  # fmt: skip


def swish(x):
    return x / (1.0 + np.exp(-x))


def hard_tanh(x):
    return np.clip(x, -1.0, 1.0)


def best(function, seconds: float = 0.3) -> float:
    """Shortest time of a call."""
    function()
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def quadrature_error(sigma, D: float) -> float:
    """Largest change of g0, g1, g2 when the nodes are doubled."""
    rng = np.random.default_rng(0)
    v, s = rng.standard_normal(400) * 2.0, np.abs(rng.standard_normal(400)) * 2.0
    s = s if math.isinf(D) else s * math.sqrt(D)
    once, twice = (
        np.array([sigma.average(v, s, D, refine=n), *sigma.average_slopes(v, s, D, refine=n)])
        for n in (1, 2)
    )
    return float(np.abs(once - twice).max())


def average_time(sigma, D: float) -> float:
    """Microseconds of one g0."""
    rng = np.random.default_rng(0)
    v, s = rng.standard_normal(50_000), np.abs(rng.standard_normal(50_000))
    s = s if math.isinf(D) else s * math.sqrt(D)
    return 1e6 * best(lambda: sigma.average(v, s, D)) / len(v)


def pair_error(sigma) -> float:
    """Stated error of pairs of random units with variances up to 4."""
    rng = np.random.default_rng(1)
    F = rng.standard_normal((20, 8))
    F *= np.sqrt(rng.uniform(0.1, 4.0, 20) / (F * F).sum(axis=1))[:, None]
    q = (F * F).sum(axis=1)
    return pair_averages(sigma, sigma, q, q, F @ F.T, same=True).error


def right_hand_side(given, p: int) -> float:
    """Milliseconds of a right-hand side of gradient flow, target of the same activation."""
    problem = mf.Problem(mf.CommitteeTarget(2, given), given, 4 * p + 100)
    overlaps = mf.gaussian_overlaps(problem, p)
    with thread_limit(1):
        return 1e3 * best(lambda: mf.overlap_velocity(problem, overlaps, sgd_noise=False))


def sgd_step(given) -> float:
    """Microseconds of a step in law, p = 4, target of the same activation."""
    problem = mf.Problem(mf.CommitteeTarget(2, given), given, 1000, learning_rate=0.1)
    start, steps = mf.gaussian_overlaps(problem, 4, scale=0.3), 20_000
    t_end = steps * 0.1 / 4000
    run = lambda: mf.simulate_sgd(problem, start, t_end, save_at=[t_end], threads=1)  # noqa: E731
    return 1e6 * best(run) / steps


def main(names: list[str]) -> None:
    print(f"{'':16}{'quadrature error':>18}{'average, µs':>14}{'pairs':>9}"
          f"{'RHS, ms':>14}{'SGD, µs':>9}")  # fmt: skip
    print(f"{'':16}{'∞':>9}{'9':>9}{'∞':>7}{'9':>7}{'':>9}{'10':>7}{'100':>7}")
    own = [custom(swish, strip=3.0), custom(hard_tanh, kinks=(-1.0, 1.0))]
    for given in names or [*NAMES, *own]:
        sigma = get_activation(given)
        errors = [quadrature_error(sigma, D) for D in (math.inf, 9)]
        times = [average_time(sigma, D) for D in (math.inf, 9)]
        sides = [right_hand_side(given, p) for p in (10, 100)]
        print(
            f"{sigma.name:16}{errors[0]:9.0e}{errors[1]:9.0e}{times[0]:7.2f}{times[1]:7.2f}"
            f"{pair_error(sigma):9.0e}{sides[0]:7.2f}{sides[1]:7.2f}{sgd_step(given):9.2f}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
