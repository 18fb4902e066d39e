"""Memory that kernels take for themselves."""

import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

from meanfield.kernels.memory import integers
from meanfield.kernels.options import serial, serial_strict

ONES = np.ones(4)


@serial
def shapes(n, m):
    row, table, block = np.zeros(n), np.zeros((n, m)), np.empty((2, n, m))
    for i in range(n):
        row[i] += i
        for j in range(m):
            block[1, i, j] = 10.0 * i + j + table[i, j]
            table[i, j] = block[1, i, j]
    return row, table, block.shape[0], block[1]


@serial
def bits(x):
    copy = np.empty(x.size)
    seen = integers(copy)
    for j in range(x.size):
        copy[j] = x[j]
    out = np.empty(seen.shape[0])
    for j in range(x.size):
        out[j] = seen[j] >> 52
        seen[j] += 1
    return out, copy


@serial_strict
def outer(x):
    """Kernels of kernels, the innermost known to one of them alone."""
    return twice(x) + x


@serial_strict
def twice(x):
    return 2.0 * inner(x) + x


@serial_strict
def inner(x):
    return x * x + 1.0


def test_arrays_are_those_of_numpy():
    for n, m in ((3, 2), (1, 5), (0, 4)):
        row, table, lead, part = shapes(n, m)
        expected = 10.0 * np.arange(n)[:, None] + np.arange(m)
        np.testing.assert_array_equal(row, np.arange(n))
        np.testing.assert_array_equal(table, expected)
        np.testing.assert_array_equal(part, expected)
        assert lead == 2 and table.flags.c_contiguous


def test_bits_are_those_of_numpy():
    x = np.array([1.0, -3.5, 0.0, 1e300, np.inf])
    out, following = bits(x)
    np.testing.assert_array_equal(out, x.view(np.int64) >> 52)
    np.testing.assert_array_equal(following.view(np.int64), x.view(np.int64) + 1)


@pytest.mark.parametrize(("kernel", "kept"), [(lambda: shapes(4, 3), 3), (lambda: bits(ONES), 2)])
def test_memory_lasts_as_long_as_its_arrays(kernel, kept):
    kernel()
    _nrt_python.memsys_enable_stats()
    try:
        before = rtsys.get_allocation_stats()
        held = kernel()
        between = rtsys.get_allocation_stats()
        del held
        after = rtsys.get_allocation_stats()
    finally:
        _nrt_python.memsys_disable_stats()
    assert between.mi_alloc - before.mi_alloc - (between.mi_free - before.mi_free) == kept
    assert after.mi_alloc - before.mi_alloc == after.mi_free - before.mi_free
    assert after.alloc - before.alloc == after.free - before.free


def test_kernels_of_kernels():
    assert outer(3.0) == 2.0 * 10.0 + 3.0 + 3.0
