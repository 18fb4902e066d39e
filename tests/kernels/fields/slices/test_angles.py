"""Neurons to the angular mesh and back, against what each step means."""

import math

import numba
import numpy as np
import pytest

from meanfield.kernels.fields.places import BATCH
from meanfield.kernels.fields.slices import angles as kernel
from meanfield.kernels.threads import thread_limit

CELLS = 48


def neurons(n, k, seed=0):
    """Everywhere; some along the direction, against it, across it, at rest."""
    rng = np.random.default_rng(seed)
    u, r = rng.uniform(-2, 2, (n, k)), rng.uniform(-2, 2, n)
    r[:4], u[4], u[5], r[5] = 0.0, 0.0, 0.0, 0.0
    r[6] = 1e-12
    return rng.uniform(-1, 2, n), u, r


def directions(k):
    e = np.random.default_rng(1).standard_normal((2 if k > 1 else 1, k))
    return e / np.linalg.norm(e, axis=1)[:, None]


def angle(u, r, e):
    return math.atan2(abs(r), u @ e)


def smooth(x):
    """Functions of ψ at mesh points, with mirrored margins: even about both ends."""
    s = np.pi * (np.arange(-kernel.PAD, CELLS + 1 + kernel.PAD)) / CELLS
    psi = 0.5 * np.pi * (1.0 - np.cos(s))
    return np.cos(psi + x), -np.sin(psi + x)


@pytest.mark.parametrize("k", [1, 3])
def test_moments_interpolate(k):
    """Σ moments × φ is Σ a R φ(ψ)/n for a smooth φ."""
    charge, u, r = neurons(30, k)
    e = directions(k)
    moments = kernel.spread(charge, u, r, e, CELLS, 4).sum(axis=0)
    for x, direction in enumerate(e):
        expected = np.mean([
            c * math.hypot(y @ direction, z) * math.cos(angle(y, z, direction) + 0.3)
            for c, y, z in zip(charge, u, r, strict=True)
        ])  # fmt: skip
        assert moments[x] @ smooth(0.3)[0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("k", [1, 3])
def test_slopes_of_a_linear_potential(k):
    """R cos(ψ + x) = v cos x − |r| sin x, summed over directions."""
    a, u, r = neurons(20, k, seed=2)
    e, share, phases = directions(k), np.array([0.4, 0.6]), (0.3, -1.1)
    fields = np.stack([np.stack(smooth(x)) for x in phases[: len(e)]])
    out = np.full(20, np.nan), np.full((20, k), np.nan), np.full(20, np.nan)
    kernel.gather(a, u, r, e, share, CELLS, fields, 0.5, *out)
    moving = np.arange(20) != 5
    weights = share[: len(e)] * np.cos(phases[: len(e)])
    across = share[: len(e)] @ np.sin(phases[: len(e)])
    np.testing.assert_allclose(out[1][moving], (a[:, None] * (weights @ e))[moving], atol=1e-9)
    sign = np.where(r < 0, -1.0, 1.0)
    np.testing.assert_allclose(out[2][moving], (-a * across * sign)[moving], atol=1e-9)
    np.testing.assert_allclose(out[0], 0.5 * (u @ (weights @ e) - np.abs(r) * across), atol=1e-9)


@pytest.mark.parametrize("n", [7, BATCH + 1, 5000])
def test_any_number_of_threads(n):
    charge, u, r = neurons(n, 1)
    results = []
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        with thread_limit(threads):
            moments = kernel.spread(charge, u, r, np.ones((1, 1)), CELLS, 32)
            out = np.zeros(n), np.zeros((n, 1)), np.zeros(n)
            fields = np.stack(smooth(0.2))[None]
            kernel.gather(charge, u, r, np.ones((1, 1)), np.ones(1), CELLS, fields, 1.0, *out)
        results.append([moments.tobytes(), *(part.tobytes() for part in out)])
    assert results[0] == results[1]
