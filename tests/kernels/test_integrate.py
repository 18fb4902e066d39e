"""Long sums: right at block boundaries, honest about NaN, blind to the number of threads."""

import numba
import numpy as np
import pytest

from meanfield.kernels.integrate import BLOCK, GROWTH, dots, mix, scaled_squares
from meanfield.kernels.threads import thread_limit

FLOORS = (1e-3, 1e-3, 1.0)
SIZES = [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 17]


def random_rows(N, seed=0):
    return np.random.default_rng(seed).normal(size=(6, N))


@pytest.mark.parametrize("N", SIZES)
def test_mix(N):
    rows, c = random_rows(N), [0.5, 0.0, -2.0, 1.5]
    expected = 0.5 * rows[1] - 2.0 * rows[4] + 1.5 * rows[2]
    kept = np.delete(rows, 5, axis=0)
    mix(rows, 5, c, [1, 0, 4, 2])
    assert np.allclose(rows[5], expected, rtol=1e-14, atol=1e-14)
    assert (np.delete(rows, 5, axis=0) == kept).all()


@pytest.mark.parametrize("N", SIZES)
def test_mix_of_several_at_once_over_what_it_reads(N):
    rows = random_rows(N)
    C = np.random.default_rng(1).normal(size=(3, 4))
    C[2] = 0.0
    expected = C @ rows[[0, 1, 2, 3]]
    mix(rows, [1, 3, 0], C, [0, 1, 2, 3])
    assert np.allclose(rows[[1, 3, 0]], expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("N", SIZES)
@pytest.mark.parametrize("weighted", [False, True])
def test_scaled_squares(N, weighted):
    rows, c = random_rows(N), np.array([0.3, -1.0])
    rows[4:6, ::3] *= 1e-6  # small enough that growth has a tolerance of its own
    weight = np.random.default_rng(2).random(N) if weighted else np.empty(0)
    size, move = np.maximum(abs(rows[4]), abs(rows[5])), abs(rows[5] - rows[4])
    loose = 1e-3 + 1e-2 * size
    grows = (rows[4] * rows[5] > 0.0) & (abs(rows[5]) > abs(rows[4]))
    allowed = np.where(grows, np.minimum(loose, GROWTH * 1e-2 * size + 1e-7), loose)
    x, m, w = c @ rows[[2, 0]], move / (size + 0.5), weight if weighted else np.ones(N)
    e = (x / allowed) ** 2
    expected = [
        e.sum(),
        m.sum(),
        (m * m).sum(),
        w @ e,
        w @ m,
        w @ (m * m),
        ((x / loose) ** 2).sum(),
    ]
    found = scaled_squares(rows, c, [2, 0], 4, 5, weight, (1e-3, 1e-7, 0.5), 1e-2)
    assert found == pytest.approx(np.array(expected), rel=1e-12)


@pytest.mark.parametrize("N", SIZES)
def test_dots(N):
    rows, other = random_rows(N), random_rows(N, seed=1)
    expected = rows[[3, 0]] @ other[2]
    assert dots(rows, [3, 0], other, 2) == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_not_hidden(bad):
    rows = random_rows(2 * BLOCK)
    rows[0, BLOCK + 5] = bad
    mix(rows, 5, [1.0, 2.0], [0, 1])
    assert not np.isfinite(rows[5, BLOCK + 5])
    assert np.isfinite(np.delete(rows[5], BLOCK + 5)).all()
    squares = scaled_squares(rows, [1.0, 2.0], [0, 1], 2, 3, np.empty(0), FLOORS, 1e-2)
    assert not np.isfinite(squares[[0, 3, 6]]).any()
    assert not np.isfinite(dots(rows, [0], rows, 1)).any()


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
def test_threads_do_not_change_a_bit():
    results = []
    for threads in (1, 2):
        rows = random_rows(7 * BLOCK + 3)
        with thread_limit(threads) as used:
            assert used == threads
            mix(rows, [5, 0], [[1.0, 0.3, 2.0], [0.1, 1.0, 7.0]], [0, 1, 2])
            squares = scaled_squares(rows, [1.0, 2.0], [0, 5], 2, 3, np.empty(0), FLOORS, 1e-2)
            results.append(
                (rows.tobytes(), squares.tobytes(), dots(rows, [1, 5], rows, 0).tobytes())
            )
    assert results[0] == results[1]
