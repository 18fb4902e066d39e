"""Long sums: right at block boundaries, honest about NaN, blind to the number of threads."""

import numba
import numpy as np
import pytest

from meanfield.kernels.linear import BLOCK, combine, scaled_norm
from meanfield.kernels.options import thread_limit

SIZES = [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 17]


def random_step(N, stages=4, seed=0):
    rng = np.random.default_rng(seed)
    c = rng.normal(size=stages)
    c[1] = 0.0
    return rng.normal(size=N), rng.normal(size=(stages, N)), c


@pytest.mark.parametrize("N", SIZES)
def test_combine(N):
    y, K, c = random_step(N)
    out = np.full(N, np.nan)
    combine(out, y, 0.3, K, c)
    assert np.allclose(out, y + 0.3 * sum(c[s] * K[s] for s in range(4)), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("N", SIZES)
def test_scaled_norm(N):
    y, K, c = random_step(N)
    y_new = 2 * y[::-1].copy()
    scale = 1e-3 + 1e-2 * np.maximum(abs(y), abs(y_new))
    expected = np.sqrt(np.mean((0.3 * (c @ K) / scale) ** 2))
    assert scaled_norm(0.3, K, c, y, y_new, 1e-3, 1e-2) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_not_hidden(bad):
    y, K, c = random_step(2 * BLOCK)
    K[0, BLOCK + 5] = bad
    out = np.empty_like(y)
    combine(out, y, 0.3, K, c)
    assert not np.isfinite(out[BLOCK + 5]) and np.isfinite(np.delete(out, BLOCK + 5)).all()
    assert not np.isfinite(scaled_norm(0.3, K, c, y, y, 1e-3, 1e-2))


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
def test_threads_do_not_change_a_bit():
    y, K, c = random_step(7 * BLOCK + 3)
    results = []
    for threads in (1, 2):
        with thread_limit(threads) as used:
            assert used == threads
            out = np.empty_like(y)
            combine(out, y, 0.3, K, c)
            results.append((out.tobytes(), scaled_norm(0.3, K, c, y, out, 1e-3, 1e-2)))
    assert results[0] == results[1]


def test_thread_limit_is_put_back():
    before = numba.get_num_threads()

    def fail():
        with thread_limit(1):
            assert numba.get_num_threads() == 1
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert numba.get_num_threads() == before
    with thread_limit(None) as used:
        assert used == before
    with thread_limit(10**6) as used:
        assert used == numba.config.NUMBA_NUM_THREADS
