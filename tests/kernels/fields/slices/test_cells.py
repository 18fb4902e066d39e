"""Neurons to cells and back against the slow twin, in one and two coordinates."""

import math

import numba
import numpy as np
import pytest

from meanfield.kernels.fields.places import BATCH
from meanfield.kernels.fields.slices import cells as kernel
from meanfield.kernels.fields.slices.cells import BLOCK, LINE, PLANE, SHORT, Cells, slot
from meanfield.kernels.threads import thread_limit
from tests.reference import cells as twin

KINDS = [(1, 0, 0.5, 3), (0, 0, 0.7, 2), (0, 1, 0.5, 3)]  # ratio, odd, shift, bits


def cells_for(ratio, odd, shift=0.5, bits=3, reach=3.0):
    first, last = (int(np.array([x]).view(np.int64)[0] >> (52 - bits)) for x in (shift, reach))
    axes, top = 1 if ratio else 2, twin.edges(shift, bits, last - first)[-1] + shift
    return Cells(
        ratio, odd, bits, np.full(axes, shift), np.full(axes, top), np.full(axes, first),
        np.full(axes, last - first),
    )  # fmt: skip


def size_of(cells):
    rows = cells.counts[0] * (1 if cells.odd else 2)
    return int(rows * (LINE if cells.ratio else cells.counts[1] * PLANE))


def neurons(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 2, n), rng.uniform(-1.8, 1.8, (n, 1)), rng.uniform(0, 1.8, n)


def spread(charge, u, r, cells):
    meshes = np.full((kernel.spread_count(len(charge), size_of(cells)), size_of(cells)), np.nan)
    found = kernel.spread(charge, u, r, cells, meshes)
    return None if found is None else found.copy()


@pytest.mark.parametrize(("ratio", "odd", "shift", "bits"), KINDS)
def test_spread_against_the_twin(ratio, odd, shift, bits):
    charge, u, r = neurons(BATCH + 7)
    u[0], r[1] = 0.0, 0.0
    r[2] *= -1.0
    cells = cells_for(ratio, odd, shift, bits)
    found = spread(charge, u, r, cells)
    expected = twin.spread(charge, u[:, 0], r, cells, size_of(cells))
    each = LINE if ratio else PLANE
    for (cell, i, j), value in expected.items():
        assert found[cell * each + slot(i, j)] == pytest.approx(value, abs=1e-12)
    touched = {cell for cell, _, _ in expected}
    left = [c for c in range(len(found) // each) if c not in touched]
    assert not found.reshape(-1, each)[left].any()


@pytest.mark.parametrize(("ratio", "odd", "shift", "bits"), KINDS)
def test_gather_is_the_value_of_polynomials(ratio, odd, shift, bits):
    n, rng = BATCH + 7, np.random.default_rng(1)
    a, u, r = neurons(n, seed=1)
    r[2] *= -1.0
    cells = cells_for(ratio, odd, shift, bits)
    each, parts = (LINE, 2) if ratio else (PLANE, 3)
    table = rng.normal(size=size_of(cells) * parts)
    blocks = table.reshape(-1, parts, each)
    if not ratio:  # lanes that hold no monomial
        blocks[:, :, [36, 37, 38, 39]] = 0.0
    out = np.zeros(n), np.zeros((n, 1)), np.zeros(n)
    kernel.gather(a, u, r, cells, table, parts, 0.5, *out)
    for i in range(n):
        cell, x, y = twin.place(float(u[i, 0]), float(r[i]), cells)
        powers = [
            (m, x ** m[0] * (y or 0.0) ** m[1]) for m in twin.MONOMIALS if not ratio or not m[1]
        ]
        at = [sum(w * blocks[cell, p, slot(*m)] for m, w in powers) for p in range(parts)]
        sign = -1.0 if odd and u[i, 0] < 0.0 else 1.0
        assert out[0][i] == pytest.approx(0.5 * sign * at[-1], abs=1e-12)
        if ratio:
            q = 1.0 / math.sqrt(1.0 + r[i] ** 2)
            expected = at[0] * q, -at[0] * u[i, 0] * r[i] * q**3
        else:
            expected = at[0], sign * math.copysign(1.0, r[i]) * at[1]
        assert out[1][i, 0] == pytest.approx(a[i] * expected[0], abs=1e-12)
        assert out[2][i] == pytest.approx(a[i] * expected[1], abs=1e-12)


@pytest.mark.parametrize("n", [50, SHORT + 1])
@pytest.mark.parametrize("ratio", [0, 1])
def test_velocities_may_take_the_place_of_neurons(n, ratio):
    cells = cells_for(ratio, 1)
    parts = 1 if ratio else 2
    table = np.random.default_rng(2).normal(size=size_of(cells) * parts)
    a, u, r = neurons(n)
    out = np.full(n, 7.0), np.zeros((n, 1)), np.zeros(n)
    kernel.gather(a, u, r, cells, table, parts, 0.0, *out)
    assert (out[0] == 7.0).all()  # a fixed second layer is left alone
    kernel.gather(a, u, r, cells, table, parts, 0.0, out[0], u, r)
    assert np.array_equal(u, out[1])
    assert np.array_equal(r, out[2])


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf, 1e300, 5.0, -5.0])
@pytest.mark.parametrize("ratio", [0, 1])
def test_neurons_outside_are_noticed(bad, ratio):
    for n in (BATCH + 3, 2 * SHORT + 5):
        charge, u, r = neurons(n)
        cells = cells_for(ratio, 0)
        assert spread(charge, u, r, cells) is not None
        u[n - 2] = bad
        r[n - 2] = 0.0
        assert spread(charge, u, r, cells) is None
        if np.isnan(bad) or (abs(bad) < 1e10 and not ratio):
            u[n - 2], r[n - 2] = 0.1, bad
            assert spread(charge, u, r, cells) is None


@pytest.mark.parametrize("n", [SHORT, SHORT + 1, 20 * BLOCK + 11])
def test_blind_to_the_number_of_threads(n):
    results = []
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        charge, u, r = neurons(n, seed=3)
        cells = cells_for(0, 1)
        table = np.random.default_rng(4).normal(size=size_of(cells) * 3)
        with thread_limit(threads):
            moments = spread(charge, u, r, cells)
            out = np.zeros(n), np.zeros((n, 1)), np.zeros(n)
            kernel.gather(charge, u, r, cells, table, 3, 1.0, *out)
        results.append((moments, *out))
    for one, other in zip(*results, strict=True):
        assert np.array_equal(one, other)


def test_many_neurons_are_the_sum_of_few():
    """Blocks of a long sum against batches of a short one."""
    charge, u, r = neurons(3 * SHORT)
    cells = cells_for(0, 1)
    parts = [spread(charge[i::3].copy(), u[i::3].copy(), r[i::3].copy(), cells) for i in range(3)]
    np.testing.assert_allclose(spread(charge, u, r, cells), sum(parts), rtol=0, atol=1e-10)
