"""Hermite coefficients of an activation at many scales, from a table.

They are those of `meanfield.gaussian.coefficients`.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from meanfield.activations import Activation
from meanfield.fields.base import Array, unlocked
from meanfield.gaussian.coefficients import coefficients, coefficients_by_panels
from meanfield.kernels.fields.mesh import BELOW, POINTS
from meanfield.kernels.fields.pairs import series
from meanfield.kernels.simd import LANES

SPACING = 0.03  # of the table in asinh √q, for a strip of half π at least
STRIP = 0.5 * math.pi
TINY = 1e-12


class UnitTable:
    """h_m and s_m of one activation as functions of √q, interpolated in asinh c√q.

    c is 1, or more for a steep function, whose coefficients vary on a scale of its strip.
    """

    def __init__(
        self, activation: Activation, reach: float, terms: int, finer: float = 1.0,
        *, by_panels: bool = False,
    ):  # fmt: skip
        self.reach, self.terms, self.spacing = reach, terms, SPACING / finer
        self.scale = 1.0 if activation.powers else max(1.0, STRIP / activation.strip)
        rows = math.ceil(math.asinh(self.scale * reach) / self.spacing) + POINTS
        root_q = np.sinh(self.spacing * np.arange(rows)) / self.scale
        parity = (-1.0) ** np.arange(terms + 1)
        expand = coefficients_by_panels if by_panels else coefficients
        self.grids = [
            np.concatenate((parity * grid[BELOW:0:-1], grid))
            for grid in expand(activation, root_q, terms + 1)
        ]

    def at(self, root_q: Array) -> tuple[Array, Array]:
        """h and s, (n, terms + 1)."""
        found, scaled = [], self.scale * root_q
        for grid in self.grids:
            out = np.empty((len(root_q), grid.shape[1]))
            series.interpolate(scaled, grid, self.spacing, out)
            found.append(out)
        return found[0], found[1]


class Units(NamedTuple):
    """Neurons (n, k), (n,), √q (n,), and the coefficients of their series (n, terms)."""

    u: Array
    r: Array
    root: Array
    h: Array
    s: Array
    t: Array


def make_units(u: Array, r: Array, root: Array, h: Array, s: Array) -> Units:
    """With coefficients up to one term less than h and s have: t_m takes s_{m+1}."""
    root = np.maximum(root, TINY)
    t = np.sqrt(np.arange(1.0, s.shape[1])) * s[:, 1:] / root[:, None]
    return Units(u, r, root, h[:, :-1], s[:, :-1], t)


@lru_cache(maxsize=64)
def recurrence_steps(D: float, terms: int) -> Array:
    """Factors of A P_m and (B² − A²) P_{m−1} in P_{m+1}, and the same for P⁺_m, (4, terms + 2)."""
    m = np.arange(terms + 2.0)
    down = np.maximum(m - 1.0, 0.0)  # P⁺ is one power behind
    if math.isinf(D):
        steps = np.zeros((4, len(m)))
        steps[::2] = 1.0  # (A + B Z)^m is A^m
    else:
        steps = np.stack((
            (2.0 * m + D - 1.0) / np.maximum(m + D - 1.0, 1.0), m / np.maximum(m + D - 1.0, 1.0),
            (2.0 * down + D + 1.0) / (down + D + 1.0), down / (down + D + 1.0),
        ))  # fmt: skip
        steps[0, 0] = 1.0
    return unlocked(steps)


def padded(c: Array, of: Units) -> tuple[Array, Array, Array, Array]:
    """Charges, u (k n,), r and 1/√q of sources, filled up to a multiple of eight with none."""
    more = -len(c) % LANES
    u = np.pad(of.u.T, ((0, 0), (0, more))).ravel()
    return np.pad(c, (0, more)), u, np.pad(of.r, (0, more)), np.pad(1.0 / of.root, (0, more))


def in_blocks(coefficients: Array) -> Array:
    """Coefficients (n, M) of eight sources side by side, as a vector (n/8, M, 8)."""
    n, M = coefficients.shape
    filled = np.pad(coefficients, ((0, -n % LANES), (0, 0)))
    return np.ascontiguousarray(filled.reshape(-1, LANES, M).transpose(0, 2, 1)).ravel()
