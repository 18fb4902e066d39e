"""Whether SGD keeps to its budget: random problems, and fresh runs against the predicted bands.

    python -m benchmarks.budget [problems]

For each problem a prediction is made, and then SGD is run again with other seeds. Printed: the
description chosen, the share of runs inside the band (two standard deviations: 0.95 of Gaussian
ones), averaged over times, and the share of times at which the mean of the fresh runs is within
two standard errors, its own and the prediction's together.
"""

from __future__ import annotations

import sys

import numpy as np

import meanfield as mf

FRESH = 400


def random_problem(number: int) -> tuple[mf.Problem, int, float]:
    """A problem, a width, and the tolerance of its prediction."""
    rng = np.random.default_rng((15, number))
    k = int(rng.integers(1, 3))
    sigma = str(rng.choice(["erf", "relu", "square", "tanh"]))
    tau = str(rng.choice(["erf", "relu"]))
    if sigma == "square":
        tau = "square"
    target = mf.CommitteeTarget(k=k, activation=tau, noise=float(rng.choice([0.0, 0.1])))
    problem = mf.Problem(
        target, sigma, dim=int(rng.choice([50, 200, 1000])),
        learning_rate=float(rng.choice([0.05, 0.2])) * (0.3 if sigma == "square" else 1.0),
    )  # fmt: skip
    return problem, int(rng.integers(2, 9)), float(rng.choice([0.02, 0.1, 0.5]))


def check(number: int) -> tuple[str, float, float]:
    """The description, the share of runs in the band, and of times at which the mean agrees."""
    problem, p, tolerance = random_problem(number)
    start = mf.gaussian_overlaps(problem, p, seed=number)
    found = mf.predict(problem, p, 2.0, tolerance, start=start, save_at=9, seed=1)
    fresh = mf.simulate_sgd(problem, start, 2.0, runs=FRESH, seed=99, save_at=9, keep="ends")
    risk = np.array([np.interp(found.t, fresh.t, one) for one in fresh.risk])[:, 1:]
    inside = float(((risk >= found.low[1:]) & (risk <= found.high[1:])).mean())
    own = 2.0 * risk.std(axis=0, ddof=1) / FRESH**0.5
    near = np.abs(risk.mean(axis=0) - found.mean[1:]) <= np.hypot(own, found.mean_error[1:])
    return found.description, inside, float(near.mean())


def main(count: int) -> None:
    """A line a problem, and the means."""
    shares = []
    for number in range(count):
        problem, p, tolerance = random_problem(number)
        description, inside, near = check(number)
        shares.append((inside, near))
        print(
            f"{number:3d} {problem.student.name:6s} p = {p} d = {problem.dim:5g} "
            f"tolerance {tolerance:4g}: {description:20s} runs in the band {inside:.3f}, "
            f"mean agrees at {near:.2f} of times", flush=True,
        )  # fmt: skip
    inside, near = np.mean(shares, axis=0)
    print(f"mean over problems: in the band {inside:.3f}, mean agrees {near:.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
