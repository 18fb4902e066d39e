"""Samples as independent scramblings of a Sobol sequence, whose spread is the stated error."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from meanfield.gaussian.rules import sobol_points

Array = NDArray[np.float64]

REPLICATES = 8


def scramblings(dims: int, samples: int, seed: int, least: int = 1) -> list[Array]:
    """Standard Gaussian points of each scrambling, (n, dims): a power of two, `least` or more.

    As many in all as `samples`, rounded up.
    """
    power = math.ceil(math.log2(max(samples / REPLICATES, least)))
    return [sobol_points(dims, power, (seed, number)) for number in range(REPLICATES)]


def error_of_mean(each: Sequence[Array] | Array) -> float:
    """Twice the standard error of the mean of what each scrambling says, in Frobenius norm."""
    squares = float(((np.asarray(each) - np.mean(each, axis=0)) ** 2).sum())
    return 2.0 * math.sqrt(squares / (REPLICATES * (REPLICATES - 1)))
