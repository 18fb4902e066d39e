"""Scrambled Sobol sequences as Gaussian samples."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

# independent scramblings of a sample: their spread is the stated error
REPLICATES = 8


def points_each(samples: int) -> int:
    """Points of each scrambling of a sample, a power of two."""
    return int(2 ** max(0, math.ceil(math.log2(samples / REPLICATES))))


def gaussian_points(count: int, dims: int, seed: tuple[int, ...]) -> NDArray[np.float64]:
    """A scrambled Sobol sequence of `count` = 2^m points as standard Gaussians, (count, dims)."""
    from scipy.stats import qmc  # half a second to import, and only wanted here

    sequence = qmc.Sobol(dims, scramble=True, rng=np.random.default_rng(seed))
    uniforms = sequence.random_base2(int(math.log2(count)))
    tiny = np.finfo(np.float64).tiny
    return np.asarray(ndtri(np.clip(uniforms, tiny, 1.0 - np.finfo(np.float64).epsneg)))
