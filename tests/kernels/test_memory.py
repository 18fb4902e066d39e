"""Memory that kernels take for themselves."""

import numba
import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

from meanfield.kernels.memory import integers, item
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


@serial
def items(x):
    total = 0.0
    for at in range(x.size):
        total += (at + 1) * item(x, at)
    return total


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


@pytest.mark.parametrize(
    ("kernel", "kept"),
    [
        (lambda: shapes(4, 3), 3),
        (lambda: bits(ONES), 2),
        (lambda: part_of_own(4, np.array([0, 2])), 1),
    ],
)
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


@serial
def fill_rows(x):
    """Takes no memory, and hands none on: nothing to count."""
    for i in range(x.shape[0]):
        row = x[i]
        add_one(row[1:])


@serial
def add_one(x):
    for j in range(x.size):
        x[j] += 1.0


@serial
def rest(x):
    """Hands on a part of what it is given."""
    return x[1:]


@serial
def chosen(x, places):
    """Takes memory for a selection."""
    total = 0.0
    found = x[places]
    for j in range(found.size):
        total += found[j]
    return total


@serial
def shift(x):
    """Takes memory for a copy, since the two overlap."""
    x[1:] = x[:-1]


@serial
def part_of_own(n, places):
    own = np.zeros((n, n))
    fill_rows(own)
    part = rest(own)
    own = np.zeros((1, 1))
    shift(part[0])
    return part, chosen(part[0], places)


def test_pieces_count_references_only_where_memory_may_change_hands():
    places = np.array([0, 2])
    expected = np.ones((3, 4))
    expected[:, 0] = 0.0
    expected[0, 1] = 0.0
    kept, total = part_of_own(4, places)
    np.testing.assert_array_equal(kept, expected)
    assert total == 1.0
    counted = {fill_rows: False, add_one: False, rest: True, chosen: True, shift: True}
    for kernel, counts in counted.items():
        codes = [found.library.get_llvm_str() for found in kernel.piece.overloads.values()]
        assert codes
        assert all(("NRT_incref" in code) == counts for code in codes), kernel


def test_kernels_of_kernels():
    assert outer(3.0) == 2.0 * 10.0 + 3.0 + 3.0


def test_items_are_those_of_the_memory_in_rows():
    table = np.arange(12.0).reshape(3, 4)
    assert items(table) == np.arange(1.0, 13.0) @ table.ravel()
    with pytest.raises(numba.TypingError):
        items(table[:, 1:])
