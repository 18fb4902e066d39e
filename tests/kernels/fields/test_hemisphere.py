"""Neurons to the half-sphere and back against the slow twin."""

import numba
import numpy as np
import pytest

from meanfield.fields.hemisphere.sphere_mesh import Fineness, make_rows
from meanfield.kernels.fields import hemisphere as kernel
from meanfield.kernels.fields.mesh import SHORT
from meanfield.kernels.fields.places import BATCH
from meanfield.kernels.threads import thread_limit
from tests.reference import hemisphere as twin

ROWS, C, S = make_rows(Fineness(0.2, 0.1, 128))
POINTS = int((ROWS.sizes + 8).sum())


def neurons(n, seed=0):
    """Everywhere, at the pole and in the plane."""
    rng = np.random.default_rng(seed)
    u, r = rng.uniform(-2, 2, (n, 2)), rng.uniform(-2, 2, n)
    u[0], r[1], u[2], r[3], u[4] = 0.0, 0.0, 1e-3 * u[2], 1e-9, 0.01 * u[4]
    u[5], u[6] = (1.0, 0.0), (0.0, -1.0)
    return rng.uniform(-1, 2, n), u, r


def test_rows_are_where_the_kernel_takes_neurons():
    """Row by row, a neuron on it is a whole number of rows from the pole."""
    y = 2.0 * C[3:-5] / (S[3:-5] + np.sqrt(S[3:-5] ** 2 + (ROWS.delta * C[3:-5]) ** 2))
    np.testing.assert_allclose(np.arcsinh(y) * ROWS.scale, np.arange(len(y)), atol=1e-12)
    assert (np.diff(ROWS.sizes) >= 0).all() and C[3] == 0.0
    assert S[-5] > 0 and ((S[-4:] > 0) & (S[-4:] < 5 * ROWS.delta)).all()  # beyond, mirrored


def test_spread_against_the_twin():
    charge, u, r = neurons(20)
    found = kernel.spread(charge, u, r, ROWS, POINTS)
    np.testing.assert_allclose(found, twin.spread(charge, u, r, ROWS, POINTS), rtol=0, atol=1e-13)


def test_gather_is_the_slope_of_the_interpolant():
    """Of a field even in u, smooth in the direction and beyond the edges of the mesh."""
    h, n = 1e-5, 12
    a, u, r = neurons(n, seed=1)
    mesh = np.zeros(POINTS)
    for i, (size, start) in enumerate(zip(ROWS.sizes, ROWS.starts, strict=True)):
        angle = np.pi * (np.arange(size + 8) - 3) / size
        along, across = C[i] * np.cos(angle), C[i] * np.sin(angle)
        mesh[start : start + size + 8] = S[i] ** 2 + along * across + along**4
    out = np.ones(n), np.ones((n, 2)), np.ones(n)
    kernel.gather(a, u, r, ROWS, mesh, 0.5, *out)
    for i in range(n):
        value = twin.potential(mesh, u[i], r[i], ROWS)
        edge = 1e-5 if i in (5, 6) else 3e-8  # between two cells the interpolant has two slopes
        assert out[0][i] == pytest.approx(1.0 + 0.5 * value, abs=1e-8 if i == 0 else 1e-13)
        for c, shift in enumerate(np.eye(2) * h):
            up, down = (twin.potential(mesh, u[i] + s, r[i], ROWS) for s in (shift, -shift))
            assert out[1][i, c] == pytest.approx(1 + a[i] * (up - down) / (2 * h), abs=edge)
        if r[i] not in (0.0, 1e-9):
            up, down = (twin.potential(mesh, u[i], r[i] + s, ROWS) for s in (h, -h))
            assert out[2][i] == pytest.approx(1 + a[i] * (up - down) / (2 * h), abs=edge)


def test_slopes_near_the_pole_are_in_proportion():
    """No rounding is magnified where |u| ≪ r: the slope of ψ = 2 u₁u₂/R² stays relative."""
    mesh = np.zeros(POINTS)
    for i, (size, start) in enumerate(zip(ROWS.sizes, ROWS.starts, strict=True)):
        mesh[start : start + size + 8] = C[i] ** 2 * np.sin(
            2 * np.pi * (np.arange(size + 8) - 3) / size
        )
    direction, found = np.array([0.6, 0.8]), []
    for scale in (1e-3, 1e-6, 1e-12, 1e-100):  # ∂(R ψ)/∂u = 2 (u₂, u₁)/R to leading order
        out = np.zeros(1), np.zeros((1, 2)), np.zeros(1)
        kernel.gather(np.ones(1), scale * direction[None], np.ones(1), ROWS, mesh, 1.0, *out)
        np.testing.assert_allclose(out[1][0], 2.0 * scale * direction[::-1], rtol=1e-3)
        found.append(out[1][0] / scale)
    np.testing.assert_allclose(found, [found[-1]] * 4, rtol=1e-5)


def test_a_fixed_second_layer_is_left_alone():
    a, u, r = neurons(9)
    out = np.full(9, np.nan), np.zeros((9, 2)), np.zeros(9)
    kernel.gather(a, u, r, ROWS, np.ones(POINTS), 0.0, *out)
    assert np.isnan(out[0]).all() and np.isfinite(out[1]).all() and np.isfinite(out[2]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_neurons_that_are_nowhere(bad):
    charge, u, r = neurons(9)
    assert kernel.spread(charge, u, r, ROWS, POINTS) is not None
    u[4, 1] = bad
    assert kernel.spread(charge, u, r, ROWS, POINTS) is None
    u[4, 1], r[7] = 0.0, bad
    assert kernel.spread(charge, u, r, ROWS, POINTS) is None


@pytest.mark.parametrize("n", [7, BATCH + 1, 3 * SHORT + 5])
def test_any_number_of_threads(n):
    charge, u, r = neurons(n)
    results = []
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        with thread_limit(threads):
            mesh = kernel.spread(charge, u, r, ROWS, POINTS)
            out = np.zeros(n), np.zeros((n, 2)), np.zeros(n)
            kernel.gather(charge, u, r, ROWS, mesh, 1.0, *out)
        results.append([mesh.tobytes(), *(part.tobytes() for part in out)])
    assert results[0] == results[1]
