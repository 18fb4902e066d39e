"""Transport between clouds of distinct points: by sorting, in closed form, and proven optimal."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from meanfield import checks
from meanfield.states import ParticleMeasure
from meanfield.transport.simplex import network_simplex
from meanfield.transport.successive import Integers, as_integers

Array = NDArray[np.float64]

# squares of distances below 1e-150 lose digits; clouds are scaled to a size of one
SMALLEST = 1e-270
ROUNDING = 2.0**-51  # of a projection, relative to the neuron


class TransportError(RuntimeError):
    """The optimal transport problem was not solved to optimality.

    Examples
    --------
    >>> import meanfield as mf
    >>> issubclass(mf.transport.TransportError, RuntimeError)
    True
    """


class Cloud(NamedTuple):
    """Distinct points (m, dims), their masses (m,), and the same as integers, in some unit."""

    points: Array
    masses: Array
    integers: Integers

    @property
    def size(self) -> int:
        """Number of distinct points."""
        return len(self.masses)

    def moved_to(self, points: Array) -> Cloud:
        """The same masses on other points."""
        return Cloud(points, self.masses, self.integers)


def cloud_of(measure: ParticleMeasure) -> Cloud:
    """The neurons of a measure as points (a, u, r), those that coincide merged."""
    points, inverse, counts = np.unique(
        measure.points(), axis=0, return_inverse=True, return_counts=True
    )
    if measure.mass is None:
        return Cloud(points, counts / measure.n, counts.astype(np.int64))
    each = as_integers(measure.mass)
    merged = np.zeros(len(counts), dtype=object)
    np.add.at(merged, inverse.ravel(), each)
    masses = np.bincount(inverse.ravel(), weights=measure.mass)
    return Cloud(points, masses / masses.sum(), merged)


def common_size(first: Cloud, second: Cloud) -> tuple[tuple[Cloud, Cloud], int]:
    """The clouds times 2^−e so that none is larger than one, and e; constant coordinates at 0.

    Squares then neither overflow nor, but beside something 10^150 times as far, vanish.
    """
    together = _without_constants(np.vstack((first.points, second.points)))
    exponent = int(np.frexp(np.abs(together).max(initial=0.0))[1])
    scaled = np.ldexp(together, -exponent)
    return (first.moved_to(scaled[: first.size]), second.moved_to(scaled[first.size :])), exponent


def clouds_of(
    measure_1: ParticleMeasure, measure_2: ParticleMeasure
) -> tuple[tuple[Cloud, Cloud], int]:
    """Both measures as distinct points with masses, times a power of two; see `common_size`."""
    for name, measure in (("measure_1", measure_1), ("measure_2", measure_2)):
        checks.instance(measure, name, ParticleMeasure)
    if measure_1.k != measure_2.k:
        raise ValueError(
            f"measure_2 must have the k of measure_1, got k = {measure_2.k} and {measure_1.k}"
        )
    return common_size(cloud_of(measure_1), cloud_of(measure_2))


def paired_points(
    measure_1: ParticleMeasure, measure_2: ParticleMeasure, exponent: int
) -> tuple[Array, Array] | None:
    """The neurons of both in that size, if equal masses make any pairing a coupling."""
    if measure_1.mass is not None or measure_2.mass is not None or measure_1.n != measure_2.n:
        return None
    together = _without_constants(np.vstack((measure_1.points(), measure_2.points())))
    scaled = np.ldexp(together, -exponent)
    return scaled[: measure_1.n], scaled[measure_1.n :]


def _without_constants(points: Array) -> Array:
    return np.where(points.min(axis=0) < points.max(axis=0), points, 0.0)


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
