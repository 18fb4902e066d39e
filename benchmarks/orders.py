"""At which power of η the linear theory of SGD's fluctuations errs, with intervals.

    python -m benchmarks.orders [runs] [case ...]

SGD is y + √η ζ + η m + …, so that what `solve_fluctuations` says of the risk's standard deviation
and of its bias is off by a relative O(η). For each case: runs of SGD exact in law at a few
dimensions, the relative errors of both with two standard errors, and the slope of their logarithm
in η with a 95 % interval.
"""

from __future__ import annotations

import math
import sys
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import meanfield as mf

Array = NDArray[np.float64]

BATCH = 100_000  # runs at a time
ONE = mf.Overlaps([[1.0]], [[0.3]], [[1.0]], [1.0])
TWO = mf.Overlaps([[1.0, 0.1], [0.1, 0.8]], [[0.3], [-0.2]], [[1.0]], [1.0, 0.8])


class Case(NamedTuple):
    """A problem without a dimension, its start, a time, the dimensions to run it in.

    `samples` are the points behind C, where no Gauss rule serves: their error is not one of η.
    """

    activation: str
    gamma: float
    start: mf.Overlaps
    t: float
    dims: tuple[int, ...]
    samples: int | None = None


CASES = {
    "erf": Case("erf", 2.0, ONE, 2.0, (6, 12, 24)),
    "relu": Case("relu", 1.0, ONE, 2.0, (6, 12, 24), 2**17),
    "square": Case("square", 0.1, TWO, 0.5, (50, 100, 200)),
}


class Errors(NamedTuple):
    """Relative errors of the computed spread and bias at a dimension, two standard errors each."""

    eta: float
    spread: float
    spread_error: float
    bias: float
    bias_error: float


def measure(case: Case, d: int, runs: int) -> Errors:
    """Compare the band with runs of SGD."""
    target = mf.CommitteeTarget(k=1, activation=case.activation, noise=0.05)
    problem = mf.Problem(target, case.activation, dim=d, learning_rate=case.gamma)
    ends = [0.0, case.t]
    band = mf.solve_fluctuations(
        problem, case.start, case.t, save_at=ends, samples=case.samples,
        rtol=1e-6 if case.samples is None else 1e-4,
    )  # fmt: skip
    parts = [
        mf.simulate_sgd(
            problem, case.start, case.t, runs=min(BATCH, runs), seed=seed, save_at=ends, keep="ends"
        )
        for seed in range(math.ceil(runs / BATCH))
    ]
    assert abs(parts[0].t[-1] - case.t) < 1e-9, "the time must be a whole number of steps"
    risk = np.concatenate([one.risk[:, -1] for one in parts])
    spread, centred = float(risk.std()), risk - risk.mean()
    kurtosis = float((centred**4).mean()) / spread**4
    std, shift = (float(band.observables[f"risk_{name}"][-1]) for name in ("std", "bias"))
    return Errors(
        case.gamma / (case.start.p * d),
        spread / std - 1.0,
        2.0 * math.sqrt((kurtosis - 1.0) / (4.0 * len(risk))) * spread / std,
        float(risk.mean() - band.risk[-1]) / shift - 1.0,
        2.0 * spread / math.sqrt(len(risk)) / abs(shift),
    )


def slope(eta: Array, error: Array, twice: Array) -> tuple[float, float]:
    """Of log |error| in log η, and half its 95 % interval from the errors of the points."""
    weight = 2.0 * np.abs(error) / twice
    design = np.column_stack((np.ones_like(eta), np.log(eta))) * weight[:, None]
    covariance = np.linalg.inv(design.T @ design)
    found = covariance @ design.T @ (np.log(np.abs(error)) * weight)
    return float(found[1]), 1.96 * math.sqrt(covariance[1, 1])


def slopes(found: list[Errors]) -> dict[str, tuple[float, float]]:
    """Those of the spread's and of the bias's error."""
    eta, spread, spread_error, bias, bias_error = np.array(found).T
    return {"spread": slope(eta, spread, spread_error), "bias": slope(eta, bias, bias_error)}


def main(arguments: list[Any]) -> None:
    """Print a line a dimension, and the slopes of each case."""
    runs = int(arguments[0]) if arguments else 1_000_000
    for name in arguments[1:] or CASES:
        found = []
        for d in CASES[name].dims:
            one = measure(CASES[name], d, runs)
            found.append(one)
            print(
                f"{name}, d = {d}, η = {one.eta:.3g}: standard deviation off by "
                f"{100 * one.spread:+.2f} ± {100 * one.spread_error:.2f} %, bias by "
                f"{100 * one.bias:+.1f} ± {100 * one.bias_error:.1f} %", flush=True,
            )  # fmt: skip
        for what, (value, half) in slopes(found).items():
            print(f"{name}: error of the {what} in η: slope {value:.2f} ± {half:.2f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
