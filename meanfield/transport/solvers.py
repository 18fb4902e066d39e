"""Transport between clouds of distinct points: in closed form, proven optimal, or smoothed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from meanfield.transport.clouds import Cloud
from meanfield.transport.simplex import network_simplex

Array = NDArray[np.float64]

# squares of distances below 1e-150 lose digits; clouds are scaled to a size of one
SMALLEST = 1e-270
ROUNDING = 2.0**-51  # of a projection, relative to the neuron
EPS = float(np.finfo(np.float64).eps)
ITERATIONS = 5000  # of an entropic plan
TOLERANCE = 1e-6  # of its marginals; what is left is mended


class TransportError(RuntimeError):
    """The optimal transport problem was not solved to optimality.

    Examples
    --------
    >>> import meanfield as mf
    >>> issubclass(mf.transport.TransportError, RuntimeError)
    True
    """


def single_atom_distance(first: Cloud, second: Cloud, order: int) -> float:
    """All mass of one side travels to or from one point."""
    lengths = np.linalg.norm(first.points - second.points, axis=1)
    many = first if first.size > 1 else second
    longest = float(lengths.max())
    if longest == 0.0:
        return 0.0
    return longest * float(many.masses @ (lengths / longest) ** order) ** (1 / order)


def sorted_distance(x: Array, first: Cloud, y: Array, second: Cloud, order: int) -> float:
    """(E |x − y|^order)^(1/order) under the monotone coupling of points on a line, optimal there.

    Masses are brought to one denominator in integers, so that what matches does so exactly.
    """
    if _all_equal(first) and _all_equal(second) and first.size == second.size:
        lengths = np.abs(np.sort(x) - np.sort(y))
        widths = np.full(len(x), 1.0 / len(x))
    else:
        widths, lengths = _pieces(x, first, y, second)
    longest = float(lengths.max())
    if longest == 0.0:
        return 0.0
    return longest * float(widths @ (lengths / longest) ** order) ** (1 / order)


def _pieces(x: Array, first: Cloud, y: Array, second: Cloud) -> tuple[Array, Array]:
    """Masses of the pieces that travel together, and how far."""
    along_x, along_y = np.argsort(x, kind="stable"), np.argsort(y, kind="stable")
    n, m = int(first.integers.sum()), int(second.integers.sum())
    total = math.lcm(n, m)
    kind = np.int64 if total < 2**62 else object
    x_ends = np.cumsum(first.integers[along_x].astype(kind)) * (total // n)
    y_ends = np.cumsum(second.integers[along_y].astype(kind)) * (total // m)
    ends = np.concatenate((x_ends, y_ends))
    order = np.argsort(ends, kind="stable")  # two runs, each in order: merged in linear time
    widths = np.asarray(np.diff(ends[order], prepend=0) / total, dtype=np.float64)
    # the piece that ends here comes from the atom of x that ends here or next, and goes so to y
    is_x = order < len(x)
    from_x: NDArray[np.intp] = np.cumsum(is_x) - is_x
    to_y = np.arange(len(ends)) - from_x
    sent = x[along_x][np.minimum(from_x, len(x) - 1)]
    return widths, np.abs(sent - y[along_y][np.minimum(to_y, len(y) - 1)])


def _all_equal(cloud: Cloud) -> bool:
    return bool((cloud.integers == cloud.integers[0]).all())


def mean_over_directions(
    first: Cloud, second: Cloud, order: int, count: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Mean of one-dimensional distances along random directions, to the power 1/order.

    With its standard error joined with rounding.
    """
    directions = rng.standard_normal((count, first.points.shape[1]))
    directions /= np.sqrt((directions**2).sum(axis=1, keepdims=True))
    found = np.empty(count)
    for i, theta in enumerate(directions):
        # row by row in one order: neurons that coincide stay together in the last bit
        x, y = ((cloud.points * theta).sum(axis=1) for cloud in (first, second))
        found[i] = sorted_distance(x, first, y, second, order)
    largest = float(found.max())
    if largest == 0.0:
        return 0.0, 0.0
    costs = (found / largest) ** order
    mean = float(costs.mean())
    spread = float(costs.std(ddof=1)) / math.sqrt(count) * mean ** (1 / order - 1) / order
    sizes = (
        float(cloud.masses @ np.abs(cloud.points).sum(axis=1) ** order) ** (1 / order)
        for cloud in (first, second)
    )
    error = math.hypot(largest * spread, ROUNDING * sum(sizes))
    return largest * mean ** (1 / order), error


def distances(x: Array, y: Array, order: int) -> Array:
    """|x_i − y_j|^order."""
    from scipy.spatial.distance import cdist  # a fifth of a second to import

    return np.asarray(cdist(x, y, "sqeuclidean" if order == 2 else "euclidean"))


def exact_distance(first: Cloud, second: Cloud, order: int) -> float:
    """By the network simplex, proven; raises rather than return what may not be the least."""
    cost = distances(first.points, second.points, order)
    plan = network_simplex(first.integers, second.integers, cost)
    if not plan.is_optimal():
        raise TransportError(
            f"no optimal transport plan was proven between {first.size} and {second.size} distinct "
            f"neurons: the least cost lies between {plan.low:g} and {plan.cost:g} times its scale; "
            "method 'bounds' gives an interval"
        )
    if plan.cost < SMALLEST and not _same(first, second):
        raise TransportError(
            "the distance is 10^-130 times as large as the neurons are apart, or less: the squares "
            "of its parts are below the smallest double"
        )
    return plan.cost ** (1 / order)


def _same(first: Cloud, second: Cloud) -> bool:
    n, m = int(first.integers.sum()), int(second.integers.sum())
    return np.array_equal(first.points, second.points) and all(
        int(a) * m == int(b) * n for a, b in zip(first.integers, second.integers, strict=True)
    )


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
