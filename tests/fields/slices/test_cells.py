"""Cells of polynomials against functions that are known, and against their own order."""

import math

import numpy as np
import pytest

from meanfield.fields.slices.axes import Axis
from meanfield.fields.slices.cells import CellMesh
from meanfield.fields.slices.layouts import resolution
from meanfield.kernels.fields.slices.cells import SHORT


def cell_mesh(parity, finer=1.0, reach=3.0, ratio=False):
    fine = resolution(1, 1.0)
    along = Axis(reach, fine, parity)
    axes = [along] if ratio else [along, Axis(reach, fine, 1, signed=False)]
    return CellMesh(axes, ratio=ratio, odd=parity == -1, finer=finer), axes


def neurons(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 2, n), rng.uniform(-2.5, 2.5, (n, 1)), rng.uniform(0, 2.5, n)


def kind(parity, u, r):
    """Φ of the parity asked for in u, even in r, with singularities at a distance of √(1 + x²)."""
    size = np.sqrt(1.0 + 0.8 * u * u + r * r)
    odd, even = u / size, 1.0 / size
    odd_u = (1.0 + r * r) / size**3
    even_u, odd_r, even_r = -0.8 * u / size**3, -u * r / size**3, -r / size**3
    if parity == -1:
        return odd, odd_u, odd_r
    return odd + even, odd_u + even_u, odd_r + even_r


def slopes(parity, finer=1.0, n=500, rate=1.0):
    """Largest errors of a value and of both slopes."""
    mesh, axes = cell_mesh(parity, finer)
    a, u, r = neurons(n, seed=1)
    a[:] = 1.0
    potential = kind(parity, axes[0].x[:, None], axes[1].x)[0]
    out = np.zeros(n), np.zeros((n, 1)), np.zeros(n)
    mesh.gather(np.ascontiguousarray(potential), a, u, r, rate, out)
    expected = kind(parity, u[:, 0], r)
    found = (out[0] if rate > 0.0 else expected[0]), out[1][:, 0], out[2]
    return [float(np.abs(x - y).max()) for x, y in zip(found, expected, strict=True)]


@pytest.mark.parametrize("parity", [-1, 0])
def test_values_and_slopes_of_a_known_function(parity):
    errors = slopes(parity)
    assert errors[0] < 1e-10
    assert max(errors[1:]) < 1e-9
    assert max(slopes(parity, n=SHORT + 9, rate=0.0)) < 1e-9


def test_the_order_is_eight():
    """Slopes too, for they are laid out for themselves: cells of half the width, 2⁸ times less."""
    wide, narrow = (np.array(slopes(-1, finer)) for finer in (0.25, 0.5))
    assert (np.log2(wide / narrow) > 6.5).all()


@pytest.mark.parametrize(("parity", "ratio"), [(-1, False), (0, False), (-1, True)])
def test_moments_are_what_values_add_up_to(parity, ratio):
    """Σ charge Φ over the neurons, from coarse moments and from values at neurons."""
    mesh, axes = cell_mesh(parity, ratio=ratio)
    charge, u, r = neurons(400, seed=2)
    potential = kind(parity, axes[0].x[:, None], np.zeros(1) if ratio else axes[1].x)[0]
    moments = mesh.spread(charge, u, r)
    out = np.zeros(400), np.zeros((400, 1)), np.zeros(400)
    mesh.gather(np.ascontiguousarray(potential), np.ones(400), u, r, 1.0, out)
    whole = float((moments * potential).sum())
    assert math.isclose(whole, float((charge * out[0]).mean()), rel_tol=1e-12)


def test_few_and_many_neurons_are_laid_out_alike():
    """One thread's kernels and all threads' hold the same polynomials."""
    mesh, axes = cell_mesh(-1)
    potential = np.ascontiguousarray(kind(-1, axes[0].x[:, None], axes[1].x)[0])
    a, u, r = neurons(SHORT + 5, seed=3)
    results = []
    for count in (SHORT + 5, 100):
        out = np.zeros(count), np.zeros((count, 1)), np.zeros(count)
        mesh.gather(potential, a[:count], u[:count], r[:count], 0.0, out)
        results.append(out)
    for many, few in zip(*results, strict=True):
        np.testing.assert_allclose(many[:100], few, rtol=0, atol=1e-13)
