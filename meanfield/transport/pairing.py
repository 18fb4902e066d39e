"""Couplings of equally many points of equal mass, each an upper bound of the distance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import pinvh

Array = NDArray[np.float64]


def paired_costs(x: Array, y: Array, order: int) -> tuple[float, float]:
    """E |x − y|^order in the order given, and in that of dyadic halves.

    Measures that started from the same draws are near the first one. The second brings the points
    together by the affine map that is optimal between Gaussian laws, then halves both clouds at
    their medians, one axis after another, until single points are left. It is exact for
    translations and scalings.
    """
    S, T = (covariance(points - points.mean(axis=0)) for points in (x, y))
    moved = (x - x.mean(axis=0)) @ affine_map(S, T)
    along_x, along_y = dyadic_halves(moved, y)
    pairs = (x - y, x[along_x] - y[along_y])
    first, second = (float(((d**2).sum(axis=1) ** (order / 2)).mean()) for d in pairs)
    return first, second


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


def dyadic_halves(x: Array, y: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Two orders of equally many points, in which neighbours in rank lie in like cells."""
    n, dims = x.shape
    along_x, along_y = np.arange(n), np.arange(n)
    group = np.zeros(n, dtype=np.int64)
    level = 0
    while group[-1] < n - 1:
        axis = level % dims
        along_x = along_x[np.lexsort((x[along_x, axis], group))]
        along_y = along_y[np.lexsort((y[along_y, axis], group))]
        size = np.bincount(group)
        start = np.cumsum(size) - size
        upper = np.arange(n) - start[group] >= (size // 2)[group]
        # groups of one point stay whole: number the others' halves in their order
        first = np.cumsum(np.minimum(size, 2)) - np.minimum(size, 2)
        group = first[group] + np.where(size[group] > 1, upper, 0)
        level += 1
    return along_x, along_y
