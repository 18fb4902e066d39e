"""Neurons to mesh and back against the slow twin, in every number of coordinates."""

import numba
import numpy as np
import pytest

from meanfield.kernels.fields import mesh as kernel
from meanfield.kernels.fields.mesh import SHORT
from meanfield.kernels.fields.places import BATCH, Lattice, locate
from meanfield.kernels.threads import thread_limit
from tests.reference import mesh as twin

KINDS = [(2, 1), (3, 1), (1, 0), (2, 0)]  # k, whether the coordinates are ratios


def lattice_for(k, ratio, scale=6.0, reach=2.5):
    half = int(np.arcsinh(reach) * scale) + 1
    origin, counts = [half + 3.0] * k, [2 * half + 8] * k
    if not ratio:
        origin, counts = [*origin, 3.0], [*counts, half + 8]
    return Lattice(ratio, scale, np.array(origin), np.array(counts))


def neurons(n, k, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 2, n), rng.uniform(-2, 2, (n, k)), rng.uniform(0, 2, n)


@pytest.mark.parametrize(("k", "ratio"), KINDS)
def test_spread_against_the_twin(k, ratio):
    n = 20 if k < 3 else 4
    charge, u, r = neurons(n, k)
    u[0], r[1] = 0.0, 0.0
    r[2] *= -1.0
    lattice = lattice_for(k, ratio)
    found = kernel.spread(charge, u, r, lattice).reshape(lattice.counts)
    np.testing.assert_allclose(found, twin.spread(charge, u, r, lattice), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("k", "ratio"), KINDS)
def test_gather_is_the_slope_of_the_interpolant(k, ratio):
    n, h, lattice = 4, 1e-5, lattice_for(k, ratio)
    a, u, r = neurons(n, k, seed=1)
    r[2] *= -1.0
    axes = [np.arange(c) - o for c, o in zip(lattice.counts, lattice.origin, strict=True)]
    field = sum(np.sin(0.2 * x + i) for i, x in enumerate(np.meshgrid(*axes, indexing="ij")))
    out = np.zeros(n), np.zeros((n, k)), np.zeros(n)
    kernel.gather(a, u, r, lattice, field.ravel(), 0.5, *out)
    for i in range(n):
        value = twin.interpolate(field, u[i], r[i], lattice)
        assert out[0][i] == pytest.approx(0.5 * value, abs=1e-13)
        for c, shift in enumerate(np.eye(k) * h):
            up, down = (twin.interpolate(field, u[i] + s, r[i], lattice) for s in (shift, -shift))
            assert out[1][i, c] == pytest.approx(a[i] * (up - down) / (2 * h), abs=1e-8)
        up, down = (twin.interpolate(field, u[i], r[i] + s, lattice) for s in (h, -h))
        assert out[2][i] == pytest.approx(a[i] * (up - down) / (2 * h), abs=1e-8)


def test_a_fixed_second_layer_is_left_alone():
    lattice, (a, u, r) = lattice_for(1, 0), neurons(5, 1)
    out = np.full(5, 7.0), np.zeros((5, 1)), np.zeros(5)
    kernel.gather(a, u, r, lattice, np.ones(int(lattice.counts.prod())), 0.0, *out)
    assert (out[0] == 7.0).all()


def test_places_are_those_of_asinh():
    """For what is tiny and what is large."""
    x = np.concatenate((10.0 ** np.arange(-300.0, 4.0), -(10.0 ** np.arange(-20.0, 4.0)), [0.0]))
    cell, work = np.zeros(len(x), np.int64), np.zeros(len(x))
    offset, root = np.zeros(len(x)), np.zeros(len(x))
    bits = work.view(np.int64)
    outside = locate(x, len(x), 30.0, 400.0, 800, cell, offset, root, work, bits)
    assert outside == 0
    expected = 400.0 + 30.0 * np.arcsinh(x)
    np.testing.assert_allclose(cell + offset + 0.5, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300, 5.0, -5.0])
@pytest.mark.parametrize("ratio", [0, 1])
def test_neurons_outside_are_noticed(bad, ratio):
    for n in (BATCH + 3, 2 * SHORT + 5):
        charge, u, r = neurons(n, 1 + ratio)
        lattice = lattice_for(1 + ratio, ratio)
        assert kernel.spread(charge, u, r, lattice) is not None
        u[n - 2] = bad
        r[n - 2] = 0.0
        assert kernel.spread(charge, u, r, lattice) is None
        if np.isnan(bad) or (abs(bad) < 1e10 and not ratio):
            u[n - 2], r[n - 2] = 0.1, bad
            assert kernel.spread(charge, u, r, lattice) is None


@pytest.mark.parametrize("n", [SHORT, SHORT + 1, 5 * SHORT + 11])
def test_blind_to_the_number_of_threads(n):
    results = []
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        charge, u, r = neurons(n, 2, seed=3)
        lattice = lattice_for(2, 0)
        with thread_limit(threads):
            mesh = kernel.spread(charge, u, r, lattice)
            out = np.zeros(n), np.zeros((n, 2)), np.zeros(n)
            kernel.gather(charge, u, r, lattice, mesh, 1.0, *out)
            kernel.add_along(out[0], u[:, :1].copy(), r, np.array([0.6, 0.8]), 1.0, *out)
        results.append((mesh, *out))
    for one, other in zip(*results, strict=True):
        assert np.array_equal(one, other)


def test_many_neurons_are_the_sum_of_few():
    """Blocks of a long sum against batches of a short one."""
    charge, u, r = neurons(3 * SHORT, 1)
    lattice = lattice_for(1, 0)
    parts = [
        kernel.spread(charge[i::3].copy(), u[i::3].copy(), r[i::3].copy(), lattice)
        for i in range(3)
    ]
    whole = kernel.spread(charge, u, r, lattice)
    np.testing.assert_allclose(whole, sum(parts) / 3, rtol=0, atol=1e-15)
