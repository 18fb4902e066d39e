"""An interval that holds the Wasserstein distance between many points, however they lie.

At order 2, with M the largest correlation E x·y over couplings, W² = E|x|² + E|y|² − 2M, and M
grows in the convex order. So a contraction of each law to the means of cells bounds W from above,
and a spread of each to the nodes of a grid from below; both are small exact problems. From below
hold also the bound by means and covariances (Gelbrich 1990), exact for translations, scalings and
Gaussian laws, and the sum of one-dimensional distances along orthogonal axes; from above any
coupling, where equally many points have equal mass.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import pinvh

from meanfield.transport.clouds import Cells, Cloud, cells, nodes
from meanfield.transport.simplex import Plan, as_integers, network_simplex
from meanfield.transport.solvers import distances, sorted_distance

Array = NDArray[np.float64]

# pairs of points of each small problem: about a second of network simplex
PAIRS = {1: 1200**2, 2: 1700**2}
GRID_DIMS = 3  # beyond, a grid this small bounds nothing
ROTATIONS = 6
NARROW = 0.02  # an interval no wider than this, relatively, is not worth another second
CLOSE = 1e-6  # the small problems need not be solved further: either end is a bound
ROUNDING = 1e-13  # of the second moments, which cancel
BLOCK = 64  # pairs that are paired anew together
SWEEPS = 2  # half a second each for 10⁵ points


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
    S, T = (_covariance(cloud.points, cloud.masses) for cloud in (first, second))
    root = _square_root(S)
    values = np.linalg.eigvalsh(root @ T @ root)
    return float(np.trace(S) + np.trace(T) - 2.0 * np.sqrt(np.maximum(values, 0.0)).sum())


def _axes(first: Cloud, second: Cloud) -> list[Array]:
    """Orthonormal bases to look along: coordinates, principal axes, and some at random."""
    dims = first.points.shape[1]
    bases = [np.eye(dims)]
    if dims > 1:
        S, T = (_covariance(cloud.points, cloud.masses) for cloud in (first, second))
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


def coupling_cost(x: Array, y: Array, order: int, enough: float) -> float:
    """E |x − y|^order under the best coupling found: points paired one to one.

    As they come, which is near the best for measures that started from the same draws; or brought
    together by the affine map that is optimal between Gaussian laws, then halved at their medians,
    one axis after another, until single points are left, which is exact for translations and
    scalings. Above `enough`, blocks of neighbouring pairs are then paired anew at least cost, a few
    times over: each time the cost falls or stays.
    """
    best = y if _cost(x, y, order) <= _cost(x, halves := _by_halves(x, y), order) else halves
    rng = np.random.default_rng(0)
    for _ in range(SWEEPS):
        if _cost(x, best, order) <= enough:
            break
        best = _by_blocks(x, best, order, rng)
    return _cost(x, best, order)


def _cost(x: Array, y: Array, order: int) -> float:
    return float((((x - y) ** 2).sum(axis=1) ** (order / 2)).mean())


def _by_halves(x: Array, y: Array) -> Array:
    """The points y in the order of the points x that they are paired with."""
    centred = x - x.mean(axis=0)
    S, T = _covariance(centred, 1.0 / len(x)), _covariance(y - y.mean(axis=0), 1.0 / len(y))
    root = _square_root(S)
    inverse = pinvh(root)
    paired = np.empty_like(y)
    moved = centred @ (inverse @ _square_root(root @ T @ root) @ inverse)
    paired[dyadic_order(moved)] = y[dyadic_order(y)]
    return paired


def _by_blocks(x: Array, y: Array, order: int, rng: np.random.Generator) -> Array:
    """Pairs whose middles are neighbours, assigned anew in blocks."""
    from scipy.optimize import linear_sum_assignment  # not at import, and only wanted here

    dims = x.shape[1]
    axes = np.linalg.qr(rng.standard_normal((dims, dims)))[0]
    near = dyadic_order((x + (y - y.mean(axis=0))) @ axes, BLOCK)
    paired = y.copy()
    for start in range(0, len(x), BLOCK):
        block = near[start : start + BLOCK]
        rows, columns = linear_sum_assignment(distances(x[block], y[block], order))
        paired[block[rows]] = y[block[columns]]
    return paired


def _covariance(points: Array, masses: Array | float) -> Array:
    """E x xᵀ of points with mean zero."""
    return np.asarray((points.T * masses) @ points)


def _square_root(S: Array) -> Array:
    """Of a symmetric matrix without negative eigenvalues but for rounding."""
    values, vectors = np.linalg.eigh(S)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)


def dyadic_order(x: Array, cell: int = 1) -> NDArray[np.intp]:
    """An order of points in which neighbours in rank lie in one cell, the same for equal numbers.

    Halved at the median along one axis, then the halves along the next, down to `cell` points.
    """
    n, dims = x.shape
    ranks = np.argsort(np.argsort(x, axis=0, kind="stable"), axis=0)
    order, group = np.arange(n), np.zeros(n, dtype=np.int64)
    level = 0
    while (size := np.bincount(group)).max() > cell:
        order = order[np.argsort(group * n + ranks[order, level % dims])]
        start = np.cumsum(size) - size
        upper = np.arange(n) - start[group] >= (size // 2)[group]
        # groups of one point stay whole: number the others' halves in their order
        first = np.cumsum(np.minimum(size, 2)) - np.minimum(size, 2)
        group = first[group] + np.where(size[group] > 1, upper, 0)
        level += 1
    return order
