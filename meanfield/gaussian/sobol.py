"""Scrambled Sobol sequences, and samples of several scramblings, whose spread is their error."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Array = NDArray[np.float64]

REPLICATES = 8


def sobol_uniforms(dims: int, power: int, seed: int | tuple[int, ...]) -> Array:
    """A scrambled Sobol sequence of 2^power points in the open unit cube, (2^power, dims)."""
    from scipy.stats import qmc  # half a second to import, and only wanted here

    points = qmc.Sobol(dims, scramble=True, rng=np.random.default_rng(seed)).random_base2(power)
    return inside(points)


def inside(uniforms: Array) -> Array:
    """Numbers of [0, 1] moved inside, where quantile functions are finite."""
    ends = np.finfo(np.float64)
    return np.clip(uniforms, ends.tiny, 1.0 - ends.epsneg)


def sobol_points(k: int, power: int, seed: int | tuple[int, ...]) -> Array:
    """The same as standard Gaussians, (2^power, k)."""
    return np.asarray(ndtri(sobol_uniforms(k, power, seed)))


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
