"""Entropic transport: a smoothed coupling, moved onto its marginals, and a bound on its bias."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meanfield.transport.exact import Cloud, TransportError, distances

Array = NDArray[np.float64]

ITERATIONS = 5000
TOLERANCE = 1e-6  # of the marginals; what is left is mended
EPS = float(np.finfo(np.float64).eps)


def entropic_costs(
    first: Cloud, second: Cloud, order: int, regularisation: float
) -> tuple[float, float]:
    """Cost of the coupling that is best with an entropy (Cuturi 2013), and a bound from below.

    Minimises E c + ε KL(P | product), ε being `regularisation` times the mean of c = |x − y|^order
    over independent pairs. The plan is then moved onto its marginals (Altschuler, Weed & Rigollet
    2017), so that its cost is no less than the least. From below: any potential g gives
    f = min_y c − g, and E f + E g is at most the least cost.
    """
    import ot  # a second to import, and only wanted here

    a, b = first.masses, second.masses
    cost = distances(first.points, second.points, order)
    mean, largest = float(a @ cost @ b), float(cost.max())
    if largest == 0.0:
        return 0.0, 0.0
    strength = regularisation * mean
    with np.errstate(over="ignore"):  # POT takes exponentials of potentials, which nobody reads
        plan, log = ot.sinkhorn(
            a, b, cost, strength, method="sinkhorn_log", numItermax=ITERATIONS, stopThr=TOLERANCE,
            log=True, warn=False,
        )  # fmt: skip
    off = float(np.abs(plan.sum(axis=1) - a).sum() + np.abs(plan.sum(axis=0) - b).sum())
    if not (log["err"] and log["err"][-1] <= TOLERANCE and np.isfinite(off)):
        raise TransportError(
            f"the entropic plan had not converged after {ITERATIONS} iterations: its marginals are "
            f"off by {off:.1e}; a larger regularisation than {regularisation:g} needs fewer"
        )
    # sums over the masses, and those themselves, are off by what their terms round
    rounding = EPS * (first.size + second.size + 16)
    high = _cost_on_marginals(plan, cost, a, b) + rounding * largest
    low = max(
        _dual(cost, a, b, strength * log["log_v"], rounding),
        _dual(cost.T, b, a, strength * log["log_u"], rounding),
    )
    return high, min(max(low, 0.0), high)


def _dual(cost: Array, a: Array, b: Array, g: Array, rounding: float) -> float:
    """E f + E g for the best f beside this potential, and the best g beside that f."""
    f = (cost - g).min(axis=1)
    h = (cost - f[:, None]).min(axis=0)
    size = max(float(np.abs(x).max()) for x in (f, g, h))
    return float(a @ f + b @ h) - rounding * size


def _cost_on_marginals(plan: Array, cost: Array, a: Array, b: Array) -> float:
    """Cost of the plan, after what exceeds either marginal is spread over what is missing."""
    plan = plan * np.minimum(a / plan.sum(axis=1), 1.0)[:, None]
    plan *= np.minimum(b / plan.sum(axis=0), 1.0)
    rows, columns = (np.maximum(x, 0.0) for x in (a - plan.sum(axis=1), b - plan.sum(axis=0)))
    missing = float(rows.sum())
    spread = float(rows @ cost @ columns) / missing if missing > 0.0 else 0.0
    return float((plan * cost).sum()) + spread
