"""Masses as whole numbers: doubles are, in units of a power of two, and so their sums balance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[Any]  # Python integers where 64 bits are too few


def as_integers(values: NDArray[np.float64]) -> Integers:
    """Positive or zero doubles as multiples, without rounding, of one power of two."""
    return integers_and_exponent(values)[0]


def integers_and_exponent(values: NDArray[np.float64]) -> tuple[Integers, int]:
    """Integers n and an exponent e with values = n 2^e."""
    digits, exponents = np.frexp(values)
    positive = values > 0
    least = int(exponents[positive].min()) if positive.any() else 0
    shifts = np.where(positive, exponents - least, 0).astype(object)
    return (digits * 2.0**53).astype(np.int64).astype(object) << shifts, least - 53


def common_total(first: Integers, second: Integers) -> tuple[list[int], list[int], int]:
    """Both masses in one unit, in which they add up to the same total."""
    n, m = int(first.sum()), int(second.sum())
    return [int(x) * m for x in first], [int(y) * n for y in second], n * m
