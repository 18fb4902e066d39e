"""Hermite coefficients of an activation at many scales, from a table.

They are those of `meanfield.gaussian.coefficients`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from meanfield.activations import Activation
from meanfield.fields.base import Array
from meanfield.gaussian.coefficients import coefficients, coefficients_by_panels
from meanfield.kernels.fields.mesh import BELOW, POINTS
from meanfield.kernels.fields.pairs import series

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
