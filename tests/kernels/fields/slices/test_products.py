"""Products against NumPy's, in shapes that fill lanes and rows and in shapes that do not."""

import numba
import numpy as np
import pytest

from meanfield.kernels.fields.slices.products import ROWS, multiply
from meanfield.kernels.threads import thread_limit

SHAPES = [
    (1, 1, 1),
    (5, 7, 3),
    (4, 33, 8),
    (9, 16, 21),
    (ROWS + 3, 200, 1),
    (130, 70, 40),
    (7, 1300, 27),
    (ROWS + 1, 600, 18),
    (13, 9, 7),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_multiply(shape):
    M, K, C = shape
    rng = np.random.default_rng(0)
    A, X = rng.normal(size=(M, K)), rng.normal(size=(K, C))
    np.testing.assert_allclose(multiply(A, X), A @ X, rtol=0, atol=1e-13 * K)


def test_blind_to_the_number_of_threads():
    rng = np.random.default_rng(1)
    A, X = rng.normal(size=(301, 90)), rng.normal(size=(90, 19))
    with thread_limit(1):
        one = multiply(A, X)
    with thread_limit(numba.config.NUMBA_NUM_THREADS):
        assert np.array_equal(multiply(A, X), one)
    # a row does not know its neighbours
    assert np.array_equal(multiply(A[5:6].copy(), X)[0], one[5])
