"""Overlaps as coordinates: what turns scalar products into vectors, exactly or at random."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr

Array = NDArray[np.float64]

# lengths below this fraction of the largest count as rounding: overlaps, which are squares, are
# only checked to be positive semi-definite to about the square of this
LENGTH_TOLERANCE = 1e-4


def nearest_coordinates(B: Array, M: Array) -> Array:
    """u (p, rank) with M = u Bᵀ, as nearly as there is one."""
    return np.ascontiguousarray(np.linalg.lstsq(B, M.T, rcond=None)[0].T, dtype=np.float64)


def principal_coordinates(B: Array, M: Array) -> Array:
    """The same, refused where M is no such product."""
    u = nearest_coordinates(B, M)
    scale = float(np.abs(M).max(initial=0.0)) + float(np.abs(B @ B.T).max())
    if np.abs(u @ B.T - M).max(initial=0.0) > LENGTH_TOLERANCE * scale * len(M) ** 0.25:
        raise ValueError("M must have its rows in the range of the target's gram matrix P")
    return u


def split(B: Array, M: Array, Q: Array) -> tuple[Array, Array]:
    """u (p, rank) and lower triangular S (p, p) with M = u Bᵀ and Q = u uᵀ + S Sᵀ."""
    u = principal_coordinates(B, M)
    values, vectors = np.linalg.eigh(Q - u @ u.T)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    (upper,) = qr(root.T, mode="r")
    return u, np.array(upper).T


def fit_rows(S: Array, D: int, scale: float) -> Array:
    """Rows in R^D with the scalar products of those of S (p, p); `scale`: length of a neuron."""
    p = len(S)
    if p <= D:
        return np.pad(S, ((0, 0), (0, D - p)))
    left, lengths, _ = np.linalg.svd(S)
    allowed = LENGTH_TOLERANCE * scale
    if (lengths[D:] > allowed).any():
        raise ValueError(
            f"dim is too small for these overlaps: the neurons span {(lengths > allowed).sum()} "
            f"directions outside the principal subspace, and there are only {D}"
        )
    return left[:, :D] * lengths[:D]


def turn_rows(rows: Array, rng: np.random.Generator) -> Array:
    """Rows (p, D), of which columns from p on are 0, turned by a uniformly random rotation."""
    p, D = rows.shape
    rows = rows[:, :p]
    frame, upper = np.linalg.qr(rng.standard_normal((D, rows.shape[1])))
    return rows @ (frame * np.where(np.diag(upper) < 0.0, -1.0, 1.0)).T


def random_directions(p: int, D: int, rng: np.random.Generator) -> Array:
    """Independent uniform unit vectors, (p, D)."""
    rows = rng.standard_normal((p, D))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def random_cosines(p: int, D: float, rng: np.random.Generator) -> Array:
    """Scalar products (p, p) of independent uniform unit vectors of R^D; I at D = ∞.

    The triangular factor of p Gaussian vectors has independent entries: normals below the
    diagonal and χ with D, D − 1, … degrees of freedom on it (Bartlett).
    """
    if math.isinf(D):
        return np.eye(p)
    if p > D:
        rows = random_directions(p, int(D), rng)
    else:
        rows = gaussian_triangle(p, int(D), rng)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, 1.0)
    return np.asarray(0.5 * (cosines + cosines.T))


def gaussian_triangle(p: int, D: int, rng: np.random.Generator) -> Array:
    """Lower triangular L (p, p): L Lᵀ has the law of the Gram matrix of p ≤ D vectors N(0, I_D)."""
    lower = np.tril(rng.standard_normal((p, p)), -1)
    np.fill_diagonal(lower, np.sqrt(rng.chisquare(D - np.arange(p))))
    return lower


def systematic_choice(
    masses: Array | None, n: int, count: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Indices (count,), in order, with floor or ceiling of count · mass_i copies of i.

    Systematic resampling: points (j + U)/count on the cumulated masses, one uniform U for all.
    Equal masses (None) and a count that is a multiple of n give every index as often.
    """
    offset = min(rng.random(), 1.0 - 1e-6)  # j + offset must not round to j + 1
    points = np.arange(count) + offset
    if masses is None:
        return np.floor(points * n / count).astype(np.intp)
    cumulated = np.cumsum(masses)
    chosen = np.searchsorted(cumulated, points * (cumulated[-1] / count), side="right")
    return np.asarray(chosen.clip(max=n - 1), dtype=np.intp)
