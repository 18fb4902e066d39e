"""The band of `solve_fluctuations` against runs of SGD exact in law.

    python -m benchmarks.fluctuations [runs] [case ...]

For each case and dimension: the largest relative error of the standard deviations of risk, Q, M and
a at the saved times, the bias of the risk against the mean of the runs and its standard error, and
the slope of the error of standard deviations in η.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

import meanfield as mf

DIMS = (25, 50, 200)
TIMES = np.array([0.0, 1.0, 2.0])
PRODUCT = mf.MultiIndexTarget(lambda z: z[:, 0] * z[:, 1] + z[:, 0], k=2, noise=0.05)
ERF, TWO = mf.CommitteeTarget(k=1, noise=0.05), mf.CommitteeTarget(k=2, noise=0.05)


def case(target: Any, activation: str, kappa: float, gamma: float = 1.0, **options: Any) -> Any:
    """A problem without a dimension, and how it is trained."""
    training = {name: options.pop(name) for name in ("spherical", "batch_size") if name in options}
    problem = {"learning_rate": gamma, "second_layer_rate": kappa, **options}
    return target, activation, problem, training


CASES = {
    "erf": case(ERF, "erf", 0.0),
    "erf, κ = 1": case(ERF, "erf", 1.0),
    "relu": case(mf.CommitteeTarget(k=2, activation="relu", noise=0.05), "relu", 0.0),
    "relu, κ = 1": case(mf.CommitteeTarget(k=2, activation="relu", noise=0.05), "relu", 1.0),
    "square": case(mf.CommitteeTarget(k=1, activation="square", noise=0.05), "square", 0.0, 0.1),
    "tanh": case(TWO, "tanh", 0.0),
    "tanh, multi-index, κ = 1": case(PRODUCT, "tanh", 1.0),
    "erf, sphere": case(ERF, "erf", 0.0, spherical=True),
    "erf, batches of 4, decay": case(ERF, "erf", 0.0, batch_size=4, weight_decay=0.2),
    "erf, sphere, batches of 4, decay": case(
        ERF, "erf", 0.0, spherical=True, batch_size=4, weight_decay=0.2
    ),
}


def start(target: Any) -> mf.Overlaps:
    """Two neurons inside the cone."""
    M = np.array([[0.3, 0.1], [-0.2, 0.25]])[:, : target.k]
    return mf.Overlaps([[1.0, 0.1], [0.1, 0.8]], M, target.gram, [1.0, 0.8])


def compare(name: str, runs: int, dims: tuple[int, ...] = DIMS) -> dict[int, dict[str, Any]]:
    """Errors of one case in each dimension."""
    target, activation, settings, training = CASES[name]
    found = {}
    for d in dims:
        problem = mf.Problem(target, activation, dim=d, **settings)
        begin = start(target)
        clock = time.process_time()
        band = mf.solve_fluctuations(problem, begin, TIMES[-1], save_at=TIMES, **training)
        took = time.process_time() - clock
        clock = time.process_time()
        sgd = mf.simulate_sgd(
            problem, begin, TIMES[-1], save_at=TIMES, runs=runs, seed=d, **training
        )
        # saved times of SGD are whole steps
        band = mf.solve_fluctuations(problem, begin, sgd.t[-1], save_at=sgd.t, **training)
        found[d] = errors(band, sgd) | {"band_s": took, "sgd_s": time.process_time() - clock}
    return found


def errors(band: mf.Solution, sgd: mf.Solution) -> dict[str, Any]:
    """What separates a band from runs."""
    runs, kappa = len(sgd.risk), band.problem.second_layer_rate
    names = ["risk", "Q", "M", *(["a"] if kappa > 0 else [])]
    values = {"risk": sgd.risk} | {n: sgd.states.varying[n] for n in names[1:]}
    off, biased = {}, {}
    for name in names:
        std = band.observables[f"{name}_std"][1:]
        seen = values[name].std(axis=0)[1:]
        scale = np.maximum(std, 0.05 * std.max())
        off[name] = float(np.abs((seen - std) / scale).max())
        ode = band.risk if name == "risk" else band.states.varying[name]
        mean = (values[name].mean(axis=0) - ode)[1:]
        bias = band.observables[f"{name}_bias"][1:]
        spread = np.maximum(seen / np.sqrt(runs), 1e-15)
        biased[name] = float(np.abs((mean - bias) / np.hypot(spread, 0.1 * bias)).max())
    mean = (sgd.risk.mean(axis=0) - band.risk)[1:]
    spread = sgd.risk.std(axis=0)[1:] / np.sqrt(runs)
    return {
        "std": off, "bias": biased, "status": str(band.status),
        "risk_bias": [*zip(band.observables["risk_bias"][1:], mean, spread, strict=True)],
    }  # fmt: skip


def slope(found: dict[int, dict[str, Any]]) -> float:
    """Of log error of the risk's standard deviation in log η."""
    dims = sorted(found)
    y = [np.log(found[d]["std"]["risk"]) for d in dims]
    return float(np.polyfit(-np.log(dims), y, 1)[0])


def main() -> None:
    """Print the errors of the cases named, or of all."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    for name in sys.argv[2:] or CASES:
        found = compare(name, runs)
        for d, one in found.items():
            std = ", ".join(f"{n} {100 * v:.1f} %" for n, v in one["std"].items())
            bias = ", ".join(f"{n} {v:.1f}" for n, v in one["bias"].items())
            risk = "; ".join(f"{1e4 * b:.2f} ({1e4 * m:.2f} ± {1e4 * s:.2f})" for b, m, s in
                             one["risk_bias"])  # fmt: skip
            print(
                f"{name}, d = {d}, {one['status']}: std off by {std}; bias off by {bias} σ; risk "
                f"{risk} 1e-4; band {one['band_s']:.1f} s, SGD {one['sgd_s']:.1f} s", flush=True,
            )  # fmt: skip
        print(f"{name}: slope of the risk's std error in η {slope(found):.2f}", flush=True)


if __name__ == "__main__":
    main()
