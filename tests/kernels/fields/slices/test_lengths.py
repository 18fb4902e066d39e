"""Meshes whose points carry vectors, against twins that take one neuron or point at a time."""

import numba
import numpy as np
import pytest

from meanfield.kernels.fields.places import BATCH, Lattice
from meanfield.kernels.fields.slices import along, space
from meanfield.kernels.fields.slices.lengths import Lengths
from meanfield.kernels.fields.slices.products import multiply_each
from meanfield.kernels.threads import thread_limit
from tests.reference import lengths as twin

rng = np.random.default_rng(0)


def make_lengths(width):
    return Lengths(12.0, 4.0, 40, width, rng.normal(size=40 * width))


@pytest.mark.parametrize("k", [2, 3])
def test_along_directions_and_back(k):
    width, P = 16, BATCH + 5
    lattice = Lattice(0, 10.0, np.array([20.0]), np.array([40]))
    points, vectors = rng.uniform(-1, 1, size=(P, k)), rng.normal(size=(P, width))
    directions = rng.normal(size=(3, k))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    meshes = np.zeros((3, 40 * width))
    outside = along.spread_points(points, vectors.ravel(), directions, lattice, width, meshes)
    expected = twin.spread_points(points, vectors, directions, lattice)
    assert outside == 0
    np.testing.assert_allclose(meshes, expected.reshape(3, -1), atol=1e-12)
    # the way back is the transpose: ⟨vectors, back⟩ = ⟨meshes, fields⟩
    fields, back = rng.normal(size=meshes.shape), np.empty(P * width)
    along.gather_points(points, directions, lattice, width, fields, back)
    assert vectors.ravel() @ back == pytest.approx((meshes * fields).sum(), rel=1e-12)
    points[1] = np.nan
    meshes[:] = 0.0
    args = points, vectors.ravel(), directions, lattice, width, meshes
    assert along.spread_points(*args) == 3


@pytest.mark.parametrize("width", [8, 24])
def test_neurons_along_directions_and_back(width):
    lengths = make_lengths(width)
    lattice = Lattice(0, 10.0, np.array([25.0]), np.array([50]))
    n = space.CHUNK + 7
    charge, u, r = rng.normal(size=n), rng.uniform(-2, 2, size=(n, 3)), rng.uniform(0, 5, size=n)
    charge[20:-9], r[0] = 0.0, -1e-9  # few of them count, on both sides of a chunk
    directions = np.array([[0.6, 0.0, 0.8], [0.0, -1.0, 0.0]])
    meshes = np.zeros((2, 50 * width))
    assert space.spread(charge, u, r, directions, lattice, lengths, meshes) == 0
    few = np.flatnonzero(charge)
    vectors = np.array([charge[i] * twin.length_vector(r[i], lengths)[0] for i in few])
    expected = twin.spread_points(u[few], vectors, directions, lattice)
    np.testing.assert_allclose(meshes, expected.reshape(2, -1), atol=1e-11)

    out = np.empty_like(charge), np.empty_like(u), np.empty_like(r)
    fields = rng.normal(size=meshes.shape)
    space.gather(charge, u, r, directions, lattice, lengths, fields, 0.5, *out)
    for i in few:
        found = twin.potential_along(fields, u[i], r[i], directions, lattice, lengths)
        assert out[0][i] == pytest.approx(0.5 * found[0], rel=1e-10, abs=1e-10)
        assert out[1][i] == pytest.approx(charge[i] * found[1], rel=1e-10, abs=1e-9)
        assert out[2][i] == pytest.approx(charge[i] * found[2], rel=1e-10, abs=1e-9)
    u[n - 1, 1], r[1] = 50.0, np.nan
    assert space.spread(charge, u, r, directions, lattice, lengths, meshes) == 2


def test_a_product_for_each():
    A, X = rng.normal(size=(11, 13)), rng.normal(size=(4, 13 * 8))
    out = np.empty((4, 11 * 8))
    multiply_each(A, X, 8, out)
    np.testing.assert_allclose(out.reshape(4, 11, 8), A @ X.reshape(4, 13, 8), atol=1e-12)


def test_bits_do_not_depend_on_threads():
    lengths, n = make_lengths(16), space.CHUNK + 600
    charge, u, r = rng.normal(size=n), rng.uniform(-2, 2, size=(n, 3)), rng.uniform(0, 5, size=n)
    directions = np.array([[0.6, 0.0, 0.8], [0.0, -1.0, 0.0], [0.0, 0.6, -0.8]])
    lattice = Lattice(0, 10.0, np.array([25.0]), np.array([50]))
    results = []
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        with thread_limit(threads):
            meshes = np.zeros((3, 50 * 16))
            space.spread(charge, u, r, directions, lattice, lengths, meshes)
            out = np.empty_like(charge), np.empty_like(u), np.empty_like(r)
            space.gather(charge, u, r, directions, lattice, lengths, meshes, 1.0, *out)
            back = np.empty(n * 16)
            along.gather_points(u, directions, lattice, 16, meshes, back)
            results.append((meshes, back, *out))
    assert all(np.array_equal(one, two) for one, two in zip(*results, strict=True))
