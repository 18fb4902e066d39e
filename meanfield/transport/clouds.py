"""Measures as clouds of distinct points, and fewer points for many.

Cells contract a law towards their means, and nodes of a grid spread it out, both without moving any
mean: in the convex order a contraction lies below the law and a spread above.
"""

from __future__ import annotations

import heapq
import itertools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.states import ParticleMeasure
from meanfield.transport.simplex import Integers, as_integers

Array = NDArray[np.float64]


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


class Cells(NamedTuple):
    """Points that stand for a cloud (m, dims), and their masses (m,).

    `variances` (m,) are mean squared distances within cells, `added` the change of the cloud's
    second moment, both at least 0. `members` are the points of each cell, by index; of nodes none.
    """

    points: Array
    masses: Array
    variances: Array
    added: float
    members: list[NDArray[np.intp]]


def _all_points(cloud: Cloud) -> Cells:
    members = list(np.arange(cloud.size)[:, None])
    return Cells(cloud.points, cloud.masses, np.zeros(cloud.size), 0.0, members)


def cells(cloud: Cloud, count: int) -> Cells:
    """At most `count` cells, by splitting the one that contributes most at its mean."""
    if cloud.size <= count:
        return _all_points(cloud)
    done: list[tuple[Array, float, Array]] = []
    heap: list[tuple[float, int, NDArray[np.intp]]] = []
    order = itertools.count()

    def add_cell(members: NDArray[np.intp]) -> None:
        points, masses = cloud.points[members], cloud.masses[members]
        mass = float(masses.sum())
        mean = masses @ points / mass
        spread = masses @ (points - mean) ** 2 / mass
        done.append((mean, mass, spread))
        heapq.heappush(heap, (-mass * float(spread.sum()), next(order), members))

    add_cell(np.arange(cloud.size))
    for _ in range(count - 1):
        worst, index, members = heapq.heappop(heap)
        mean, _, spread = done[index]
        if worst >= 0.0:
            heapq.heappush(heap, (worst, index, members))
            break
        axis = int(spread.argmax())
        beyond = cloud.points[members, axis] > mean[axis]
        if beyond.all() or not beyond.any():  # points that differ in rounding only
            heapq.heappush(heap, (0.0, index, members))
            continue
        add_cell(members[beyond])
        add_cell(members[~beyond])
    kept = sorted(heap, key=lambda entry: entry[1])
    chosen = [part for _, _, part in kept]
    points, masses, spreads = (
        np.array(x) for x in zip(*(done[i] for _, i, _ in kept), strict=True)
    )
    variances = spreads.sum(axis=1)
    return Cells(points, masses, variances, float(masses @ variances), chosen)


def nodes(cloud: Cloud, count: int) -> Cells:
    """At most `count` nodes of a grid, to which each point is spread with its own mean kept."""
    if cloud.size <= count:
        return _all_points(cloud)
    dims = cloud.points.shape[1]
    a_side = max(2, int(1.25 * count ** (1 / dims)))
    while True:
        axes = [_grid(cloud.points[:, i], cloud.masses, a_side) for i in range(dims)]
        weights = _node_masses(cloud, axes)
        occupied = np.flatnonzero(weights)
        if len(occupied) <= count or a_side == 2:
            break
        a_side -= 1
    places = np.unravel_index(occupied, [len(axis) for axis in axes])
    points = np.column_stack([axis[i] for axis, i in zip(axes, places, strict=True)])
    masses = weights[occupied]
    added = float(masses @ (points**2).sum(axis=1) - cloud.masses @ (cloud.points**2).sum(axis=1))
    return Cells(points, masses, np.zeros(len(masses)), max(added, 0.0), [])


def _grid(x: Array, masses: Array, count: int) -> Array:
    """Nodes denser where there is more mass, by its cube root: the least spread (Panter–Dite)."""
    low, high = float(x.min()), float(x.max())
    density, edges = np.histogram(x, bins=256, range=(low, high), weights=masses)
    share = np.append(0.0, np.cumsum(np.cbrt(density) + 1e-3 * np.cbrt(density).max()))
    grid = np.interp(np.linspace(0.0, share[-1], count), share, edges)
    grid[0], grid[-1] = low, high
    return grid


def _node_masses(cloud: Cloud, axes: list[Array]) -> Array:
    """Masses on the nodes of a product grid, multilinear in the points."""
    shape = [len(axis) for axis in axes]
    below, share = [], []
    for i, axis in enumerate(axes):
        x = cloud.points[:, i]
        cell = np.clip(np.searchsorted(axis, x, side="right") - 1, 0, len(axis) - 2)
        below.append(cell)
        share.append((x - axis[cell]) / (axis[cell + 1] - axis[cell]))
    total = np.zeros(math.prod(shape))
    for corner in itertools.product((0, 1), repeat=len(axes)):
        weight = cloud.masses.copy()
        for upper, t in zip(corner, share, strict=True):
            weight *= t if upper else 1.0 - t
        place = np.ravel_multi_index([b + c for b, c in zip(below, corner, strict=True)], shape)
        total += np.bincount(place, weights=weight, minlength=len(total))
    return total
