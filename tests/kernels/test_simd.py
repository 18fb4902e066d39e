"""Vectors of eight against numpy."""

import numpy as np

from meanfield.kernels.options import serial
from meanfield.kernels.simd import transpose


@serial
def _turn(source, first, step, target, second, stride):
    transpose(source, first, step, target, second, stride)


def test_eight_vectors_change_rows_and_columns():
    source, target = np.arange(200.0), np.full(200, -1.0)
    _turn(source, 3, 11, target, 5, 9)
    block = np.lib.stride_tricks.sliding_window_view(source[3:], 8)[: 7 * 11 + 1 : 11]
    places = 5 + 9 * np.arange(8)[:, None] + np.arange(8)
    np.testing.assert_array_equal(target[places], block.T)
    untouched = np.setdiff1d(np.arange(200), places)
    assert (target[untouched] == -1.0).all()
