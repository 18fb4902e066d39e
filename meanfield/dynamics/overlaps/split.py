"""Perpendicular overlaps as a part of each unit's own and a part that units share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.overlaps.averages import Network
from meanfield.dynamics.overlaps.kinked_noise import factor_of

Matrix = NDArray[np.float64]

# the control variate is for correlations up to the first in full, beyond the second not at all
FULL, NONE = 0.25, 0.45
SHARP, BLUNT = 0.1, 0.3  # √(N_ii/Q_ii): a kink in z too sharp for its rule, and blunt enough
SHARE = 0.9  # of the largest D that leaves N − D positive


class Split(NamedTuple):
    """N (p, p) as root rootᵀ and sd² on the diagonal, with what both ideas need of it.

    `deviation` and `sd` (p,) are √N_ii and √D_ii, above 0; `use` (p, p) is how much of the control
    variate each pair takes.
    """

    N: Matrix
    root: Matrix
    sd: Matrix
    deviation: Matrix
    correlation: Matrix
    use: Matrix

    @classmethod
    def of(cls, network: Network) -> Split:
        """That of the perpendicular overlaps of a network."""
        N = network.N
        assert N is not None
        least = 1e-12 * np.sqrt(np.maximum(np.diag(network.Q), 1e-280))
        deviation = np.maximum(np.sqrt(np.maximum(np.diag(N), 0.0)), least)
        correlation = N / np.outer(deviation, deviation)
        np.fill_diagonal(correlation, 0.0)
        blunt = between(SHARP, BLUNT, deviation / np.sqrt(np.maximum(np.diag(network.Q), 1e-280)))
        use = between(NONE, FULL, np.abs(correlation)) * np.outer(blunt, blunt)
        D = diagonal_part(N)
        root = factor_of(network._replace(N=N - np.diag(D)))
        return cls(N, root, np.maximum(np.sqrt(D), least), deviation, correlation, use)


def between(none: float, full: float, x: Matrix) -> Matrix:
    """From 0 to 1 where x goes from `none` to `full`, with a slope that has no jumps."""
    share = np.clip((x - none) / (full - none), 0.0, 1.0)
    return np.asarray(share * share * (3.0 - 2.0 * share))


def diagonal_part(N: Matrix) -> Matrix:
    """D (p,) with N − diag D positive semi-definite; 0 on the edge of the cone of overlaps.

    In shape what the others leave of each variance, 1/(N⁻¹)_ii, as large as it may be.
    """
    try:
        free = 1.0 / np.diag(np.linalg.inv(N))
    except np.linalg.LinAlgError:
        return np.zeros(len(N))
    if not (np.isfinite(free).all() and (free > 0.0).all()):
        return np.zeros(len(N))
    least = np.linalg.eigvalsh(N / np.sqrt(np.outer(free, free)))[0]
    return np.asarray(SHARE * max(float(least), 0.0) * free)
