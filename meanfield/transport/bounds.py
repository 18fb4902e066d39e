"""An interval that holds the Wasserstein distance between many points, however they lie.

At order 2, with M the largest correlation E x·y over couplings, W² = E|x|² + E|y|² − 2M, and M
grows in the convex order. So a contraction of each law to the means of cells bounds W from above,
and a spread of each to the nodes of a grid from below; both are small exact problems. From below
hold also the bound by means and covariances (Gelbrich 1990), exact for translations, scalings and
Gaussian laws, and the sum of one-dimensional distances along orthogonal axes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.transport.compress import Cells, cells, nodes
from meanfield.transport.exact import Cloud, distances, sorted_distance
from meanfield.transport.pairing import coupling_cost, covariance, square_root
from meanfield.transport.simplex import Plan, network_simplex
from meanfield.transport.successive import as_integers

Array = NDArray[np.float64]

# pairs of points of each small problem: about a second of network simplex
PAIRS = {1: 1200**2, 2: 1700**2}
GRID_DIMS = 3  # beyond, a grid this small bounds nothing
ROTATIONS = 6
NARROW = 0.02  # an interval no wider than this, relatively, is not worth another second
CLOSE = 1e-6  # the small problems need not be solved further: either end is a bound
ROUNDING = 1e-13  # of the second moments, which cancel


class Interval(NamedTuple):
    """Bounds of W^order, and how far a sample of neurons may be from the law it is drawn from.

    `variances` are those of the two potentials: n of either side carry variances/n (del Barrio &
    Loubes 2019). `excess` is what the lower bound gains from sampling alone.
    """

    low: float
    high: float
    variances: tuple[float, float]
    excess: float


def interval(
    first: Cloud, second: Cloud, order: int, points: tuple[Array, Array] | None
) -> Interval:
    """Bounds of W^order between two clouds.

    Parameters
    ----------
    first, second : Cloud
    order : int
        1 or 2.
    points : pair of ndarray, shape (n, dims), or None
        Equal numbers of points of equal mass, where any pairing is a coupling.
    """
    varying = np.ptp(np.vstack((first.points, second.points)), axis=0) > 0
    first, second = (cloud.moved_to(cloud.points[:, varying]) for cloud in (first, second))
    shift = first.masses @ first.points - second.masses @ second.points
    # a common shift adds its square, exactly: what is left has mean zero
    one, two = (c.moved_to(c.points - c.masses @ c.points) for c in (first, second))
    counts = _share_cells(first.size, second.size, PAIRS[order])
    if order == 2:
        bound = _second_order(one, two, shift, counts)
    else:
        bound = _first_order(first, second, counts)
    size = sum(float(c.masses @ (c.points**2).sum(axis=1)) for c in (one, two))
    high = bound.high
    if points is not None:
        x, y = points
        # in the plane the cells are as good, and this is not worth its time
        enough = math.inf if varying.sum() < 3 else max(bound.low, 0.0) * (1.0 + NARROW) ** order
        high = min(high, coupling_cost(x[:, varying], y[:, varying], order, enough))
    slack = ROUNDING * (size if order == 2 else high + math.sqrt(size))
    return bound._replace(low=min(bound.low, high) - slack, high=high + slack)


def _share_cells(n: int, m: int, pairs: int) -> tuple[int, int]:
    """How many points stand for each cloud: a small one is left as it is."""
    side = math.isqrt(pairs)
    if n <= side:
        return n, pairs // n
    return (pairs // m, m) if m <= side else (side, side)


def _second_order(first: Cloud, second: Cloud, shift: Array, counts: tuple[int, int]) -> Interval:
    """Of clouds with mean zero, `shift` apart before they were brought there."""
    one, two = cells(first, counts[0]), cells(second, counts[1])
    plan = _plan(one, two, distances(one.points, two.points, 2))
    along = _along_axes(first, second)
    low = max(_gelbrich(first, second), along)
    if first.points.shape[1] <= GRID_DIMS:
        x, y = nodes(first, counts[0]), nodes(second, counts[1])
        spread = _plan(x, y, distances(x.points, y.points, 2)).low
        low = max(low, spread - x.added - y.added)
    apart = float(shift @ shift)
    variances = (
        _variance(one, plan.u + 2.0 * one.points @ shift),
        _variance(two, plan.v - 2.0 * two.points @ shift),
    )
    excess = _excess(first, second, _along_axes)
    return Interval(apart + low, apart + plan.cost + one.added + two.added, variances, excess)


def _first_order(first: Cloud, second: Cloud, counts: tuple[int, int]) -> Interval:
    one, two = cells(first, counts[0]), cells(second, counts[1])
    _, _, u, v = _plan(one, two, distances(one.points, two.points, 1))
    # E|x − y| ≤ √E|x − y|² over the product of two cells
    within = distances(one.points, two.points, 2)
    within += one.variances[:, None] + two.variances
    high = _plan(one, two, np.sqrt(within)).cost
    # f(x) = min_j |x − y_j| − v_j has slopes of at most one, wherever it is looked at
    dual = _mean_of(first, one, two.points, v) - _mean_of(second, two, two.points, v)
    low = max(dual, _by_slopes_of_one(first, second))
    excess = _excess(first, second, _by_slopes_of_one)
    return Interval(low, high, (_variance(one, u), _variance(two, v)), excess)


def _plan(one: Cells, two: Cells, cost: Array) -> Plan:
    return network_simplex(as_integers(one.masses), as_integers(two.masses), cost, CLOSE)


def _mean_of(cloud: Cloud, part: Cells, points: Array, potential: Array) -> float:
    """Mean of f(x) = min_j |x − y_j| − v_j, for each cell over the y_j that can be the least in it.

    |x − y_j| moves by at most the distance of x to the cell's mean.
    """
    values = distances(part.points, points, 1) - potential
    least = values.min(axis=1)
    total = 0.0
    for i, members in enumerate(part.members):
        x = cloud.points[members]
        reach = float(np.sqrt(((x - part.points[i]) ** 2).sum(axis=1).max()))
        near = values[i] <= least[i] + 2.0 * reach + ROUNDING
        found = (distances(x, points[near], 1) - potential[near]).min(axis=1)
        total += float(cloud.masses[members] @ found)
    return total


def _variance(part: Cells, values: Array) -> float:
    return float(part.masses @ (values - part.masses @ values) ** 2)


def _excess(first: Cloud, second: Cloud, bound: Callable[[Cloud, Cloud], float]) -> float:
    """What the bound makes of two halves of either cloud, drawn at random."""
    rng = np.random.default_rng(0)
    found = 0.0
    for cloud in (first, second):
        if cloud.size > 3:
            order = rng.permutation(cloud.size)
            middle = cloud.size // 2
            halves = [
                _part(cloud, chosen) for chosen in (order[:middle], order[middle : 2 * middle])
            ]
            found += 0.5 * bound(*halves)
    return found


def _part(cloud: Cloud, chosen: NDArray[np.intp]) -> Cloud:
    masses = cloud.masses[chosen]
    return Cloud(cloud.points[chosen], masses / masses.sum(), cloud.integers[chosen])


def _gelbrich(first: Cloud, second: Cloud) -> float:
    """tr(S + T − 2 (S^½ T S^½)^½): the least cost between laws of these covariances."""
    S, T = (covariance(cloud.points, cloud.masses) for cloud in (first, second))
    root = square_root(S)
    values = np.linalg.eigvalsh(root @ T @ root)
    return float(np.trace(S) + np.trace(T) - 2.0 * np.sqrt(np.maximum(values, 0.0)).sum())


def _axes(first: Cloud, second: Cloud) -> list[Array]:
    """Orthonormal bases to look along: coordinates, principal axes, and some at random."""
    dims = first.points.shape[1]
    bases = [np.eye(dims)]
    if dims > 1:
        S, T = (covariance(cloud.points, cloud.masses) for cloud in (first, second))
        bases += [np.linalg.eigh(S + T)[1], np.linalg.eigh(S - T)[1]]
        rng = np.random.default_rng(0)
        bases += [np.linalg.qr(rng.standard_normal((dims, dims)))[0] for _ in range(ROTATIONS)]
    return bases


def _along_axes(first: Cloud, second: Cloud) -> float:
    """The largest sum over a basis of one-dimensional costs: a coupling costs their sum."""
    return max(sum(_costs_along(first, second, basis, 2)) for basis in _axes(first, second))


def _by_slopes_of_one(first: Cloud, second: Cloud) -> float:
    """The largest of what functions with slopes of at most one tell apart, at order 1.

    Those along an axis, and the distances from either mean, exact for scalings about it.
    """
    means = [cloud.masses @ cloud.points for cloud in (first, second)]
    shift = means[0] - means[1]
    length = float(np.linalg.norm(shift))
    bases = _axes(first, second) + ([shift[:, None] / length] if length > 0 else [])
    along = max(max(_costs_along(first, second, basis, 1)) for basis in bases)
    radial = (abs(_distance_from(first, c) - _distance_from(second, c)) for c in means)
    return max(along, length, *radial)


def _distance_from(cloud: Cloud, centre: Array) -> float:
    return float(cloud.masses @ np.sqrt(((cloud.points - centre) ** 2).sum(axis=1)))


def _costs_along(first: Cloud, second: Cloud, axes: Array, order: int) -> list[float]:
    """One-dimensional costs of the projections on the columns of `axes`."""
    x, y = (np.ascontiguousarray((cloud.points @ axes).T) for cloud in (first, second))
    return [sorted_distance(s, first, t, second, order) ** order for s, t in zip(x, y, strict=True)]
