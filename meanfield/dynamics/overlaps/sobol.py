"""Samples of independent scramblings of a Sobol sequence."""

from __future__ import annotations

import math

# independent scramblings of a sample: their spread is the stated error
REPLICATES = 8


def power_each(samples: int, least: int = 0) -> int:
    """The points of each scrambling of a sample, as a power of two."""
    return max(least, math.ceil(math.log2(samples / REPLICATES)))
