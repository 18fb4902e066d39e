"""Random impulses that have the covariance of a step of SGD.

A time h of SGD adds η h C to the covariance of the overlaps, with C that of one step g. An impulse
√(ηh) ξ (g(x) − ⟨g⟩), with a fresh input x and a sign ξ = ±1, has this covariance, no mean and no
third moment: all that a weak method of second order in the small noise asks for. It is taken in the
weights: with ĝ the standard Gaussians behind (z, λ), rows (u, S) of weights move by b ĝᵀ, and the
rest of x adds (γ/p) b bᵀ to the perpendicular overlaps. So overlaps stay those of weights.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.diffusion.field import Averages, DiffusionField, Runs

Array = NDArray[np.float64]


SAMPLES = 8  # behind an impulse: one would do for two moments, more are nearer to a Gaussian


class Impulse(NamedTuple):
    """Runs after it, and what it took to keep overlaps positive semi-definite, a mean over runs."""

    runs: Runs
    clipped: float


class Moves(NamedTuple):
    """Σ_s ξ_s (g_s − ⟨g⟩)/√SAMPLES of samples s, by parts: of (u, S), of N, and of a."""

    u: Array
    S: Array
    N: Array
    a: Array


def give_impulse(
    field: DiffusionField, runs: Runs, now: Averages, size: float, rng: np.random.Generator
) -> Impulse:
    """An impulse in every run; `size` = √(η h/batch)."""
    S = factors(runs.N)
    moves = _draw(field, runs, S, now, rng)
    rows = S + size * moves.S
    N = rows @ rows.swapaxes(1, 2) + size * field.rate * moves.N
    a = runs.a
    if field.moves_a:
        a = a + size * field.present.second_layer_rate * moves.a
    N, clipped = nearest(N)
    return Impulse(field.projected(Runs(runs.u + size * moves.u, N, a)), clipped)


def _draw(
    field: DiffusionField, runs: Runs, S: Array, now: Averages, rng: np.random.Generator
) -> Moves:
    """Fresh samples, with signs."""
    u, _, a = runs
    (count, p), rank = a.shape, u.shape[2]
    draws = rng.standard_normal((count, SAMPLES, rank + p + 1))
    signs = (2.0 * rng.integers(2, size=(count, SAMPLES)) - 1.0) / math.sqrt(SAMPLES)
    z, g, xi = draws[:, :, :rank], draws[:, :, rank:-1], draws[:, :, -1]
    lam = z @ u.swapaxes(1, 2) + g @ S.swapaxes(1, 2)
    sigma, noise = field.averages.sigma, field.present.noise
    value = sigma.function(lam)
    labels = field.target(z.reshape(-1, rank)).reshape(signs.shape) + math.sqrt(noise) * xi
    error = labels - (value @ a[:, :, None])[:, :, 0] / p
    b = a[:, None] * sigma.derivative(lam) * error[:, :, None]
    weighted = (signs[:, :, None] * b).swapaxes(1, 2)
    total = signs.sum(axis=1)[:, None, None]
    mean = a[:, :, None] * a[:, None, :] * now.slopes
    second = ((signs * error)[:, None] @ value)[:, 0] - total[:, :, 0] * now.fields
    return Moves(
        weighted @ z - total * (now.D @ u + now.E), weighted @ g - total * (now.D @ S),
        weighted @ b - total * mean, second,
    )  # fmt: skip


def factors(N: Array) -> Array:
    """Roots S of positive semi-definite matrices (runs, p, p), to rounding."""
    try:
        return np.asarray(np.linalg.cholesky(N), dtype=np.float64)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(N)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :])


def nearest(N: Array) -> tuple[Array, float]:
    """The nearest positive semi-definite matrices, and the change, a mean over runs."""
    N = 0.5 * (N + N.swapaxes(1, 2))
    if not np.isfinite(N).all():
        return N, 0.0
    try:
        np.linalg.cholesky(N)
        return N, 0.0
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(N)
    least = values[:, 0]
    bad = np.flatnonzero(least < 0.0)
    if not len(bad):
        return N, 0.0
    root = vectors[bad] * np.sqrt(np.maximum(values[bad], 0.0))[:, None, :]
    out = N.copy()
    out[bad] = root @ root.swapaxes(1, 2)
    # negative only by rounding: as good as none
    scale = 4.0 * N.shape[1] * float(np.finfo(np.float64).eps) * np.maximum(values[:, -1], 0.0)
    return out, float(np.mean(np.where(-least > scale, -least, 0.0)))
