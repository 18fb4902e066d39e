"""The band of the risk of wide networks by `solve_risk_band`, beside SGD to the same accuracy.

    python -m benchmarks.risk_band [width ...]

For each width: processor time of the band at 50 times up to t = 4 (erf, k = 1, γ = 1, d = 1000),
its stated error, and what SGD exact in law would take for as small a standard error of its
standard deviation: so many runs, of which a few are timed over a stretch of the way. Up to p = 24
also what the full covariance says.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

import meanfield as mf

WIDTHS = (8, 32, 200)
END, STRETCH, TIMED = 4.0, 0.1, 4
FULL = 24


def start(p: int) -> tuple[mf.Problem, mf.Overlaps]:
    """The problem, and random weights of width p."""
    problem = mf.Problem(mf.CommitteeTarget(k=1, noise=0.05), dim=1000, learning_rate=1.0)
    return problem, mf.gaussian_overlaps(problem, p=p, seed=1)


def measure(p: int) -> dict[str, Any]:
    """Seconds and errors at one width."""
    problem, begin = start(p)
    times = np.linspace(0.0, END, 51)
    mf.solve_risk_band(problem, begin, 0.01, save_at=2)  # compiles
    clock = time.process_time()
    band = mf.solve_risk_band(problem, begin, END, save_at=times)
    found: dict[str, Any] = {
        "band_s": time.process_time() - clock, "status": str(band.status), **band.stats,
    }  # fmt: skip
    runs = int(np.ceil(2.0 / band.stats["risk_std_error"] ** 2))  # 2/√(2 runs), twice the error
    mf.simulate_sgd(problem, begin, 0.001, runs=1, save_at=2)
    clock = time.process_time()
    mf.simulate_sgd(problem, begin, STRETCH, runs=TIMED, save_at=2, seed=1)
    found |= {"runs": runs, "sgd_s": (time.process_time() - clock) * runs / TIMED * END / STRETCH}
    if p <= FULL:
        clock = time.process_time()
        whole = mf.solve_fluctuations(problem, begin, END, save_at=times)
        found["full_s"] = time.process_time() - clock
        ratio = band.observables["risk_std"][1:] / whole.observables["risk_std"][1:]
        found |= {"off": float(np.abs(ratio - 1.0).max()), **{
            "full_error": whole.stats["covariance_error"]}}  # fmt: skip
    return found


def main() -> None:
    """Print one line a width."""
    for p in [int(word) for word in sys.argv[1:]] or WIDTHS:
        m = measure(p)
        line = (
            f"p = {p}: {m['status']}, band {m['band_s']:.1f} s of processor time, error "
            f"{100 * m['risk_std_error']:.1f} %, adjoints {m['adjoint_error']:.0e}; SGD "
            f"{m['sgd_s']:.0f} s for {m['runs']} runs"
        )
        if "off" in m:
            line += f"; the full covariance {m['full_s']:.1f} s, {100 * m['off']:.1f} % off"
        print(line, flush=True)


if __name__ == "__main__":
    main()
