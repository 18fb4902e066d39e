"""Couplings of equally many points of equal mass, each an upper bound of the distance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import pinvh

from meanfield.transport.exact import distances

Array = NDArray[np.float64]

BLOCK = 64
SWEEPS = 2  # half a second each for 10⁵ points


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
    S, T = (covariance(points - points.mean(axis=0)) for points in (x, y))
    paired = np.empty_like(y)
    paired[dyadic_order((x - x.mean(axis=0)) @ affine_map(S, T))] = y[dyadic_order(y)]
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


def covariance(points: Array, masses: Array | None = None) -> Array:
    """E x xᵀ of points with mean zero."""
    if masses is None:
        return np.asarray(points.T @ points / len(points))
    return np.asarray((points.T * masses) @ points)


def affine_map(S: Array, T: Array) -> Array:
    """The symmetric map that takes a Gaussian law of covariance S to one of covariance T.

    At least cost (Gelbrich 1990).
    """
    root = square_root(S)
    inverse = pinvh(root)
    return np.asarray(inverse @ square_root(root @ T @ root) @ inverse)


def square_root(S: Array) -> Array:
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
