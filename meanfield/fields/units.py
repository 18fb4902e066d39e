"""Hermite coefficients of an activation at many scales: what a unit of variance q contributes.

h_m(q) = E σ(√q G) he_m(G), s_m(q) = E σ'(√q G) he_m(G), he_m the normalised Hermite polynomials.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from meanfield.activations import Activation
from meanfield.fields.base import Array
from meanfield.gaussian.expansions import expand
from meanfield.gaussian.rules import panel_rule
from meanfield.kernels.fields.mesh import BELOW, POINTS
from meanfield.kernels.fields.pairs import series

SPACING = 0.03  # of the table in asinh √q
TINY = 1e-12
PANELS, PANEL_NODES, PANEL_REACH = 260, 12, 13.0  # of a rule that nothing else uses


def coefficients(activation: Activation, root_q: Array, terms: int) -> tuple[Array, Array]:
    """h_m and s_m for m < terms at each √q, two arrays (len(root_q), terms)."""
    found = expand(activation, root_q**2, terms)
    return found.C[:, :terms], found.S[:, :terms]


def coefficients_by_panels(
    activation: Activation, root_q: Array, terms: int
) -> tuple[Array, Array]:
    """The same in another way, for what they may be off by: many short panels, broken at kinks."""
    kinks = np.asarray(activation.kinks, dtype=np.float64)
    value, slope = np.empty((len(root_q), terms)), np.empty((len(root_q), terms))
    for i, root in enumerate(root_q):
        breaks = np.abs(kinks) < PANEL_REACH * root
        edges = np.linspace(-PANEL_REACH, PANEL_REACH, PANELS + 1)
        x, w = panel_rule(np.union1d(edges, kinks[breaks] / max(root, TINY)), PANEL_NODES)
        w = w * np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
        table = hermite_table(x, terms)
        value[i] = table @ (w * activation.function(root * x))
        slope[i] = table @ (w * activation.derivative(root * x))
    return value, slope


def hermite_table(x: Array, terms: int) -> Array:
    """he_m(x) for m < terms, (terms, len(x))."""
    table = np.ones((terms, len(x)))
    for m in range(1, terms):
        below = math.sqrt(m - 1) * table[m - 2] if m > 1 else 0.0
        table[m] = (x * table[m - 1] - below) / math.sqrt(m)
    return table


class UnitTable:
    """h_m and s_m of one activation as functions of √q, interpolated in asinh √q."""

    def __init__(
        self, activation: Activation, reach: float, terms: int, finer: float = 1.0,
        *, by_panels: bool = False,
    ):  # fmt: skip
        self.reach, self.terms, self.spacing = reach, terms, SPACING / finer
        rows = math.ceil(math.asinh(reach) / self.spacing) + POINTS
        parity = (-1.0) ** np.arange(terms + 1)
        expand = coefficients_by_panels if by_panels else coefficients
        self.grids = [
            np.concatenate((parity * grid[BELOW:0:-1], grid))
            for grid in expand(activation, np.sinh(self.spacing * np.arange(rows)), terms + 1)
        ]

    def at(self, root_q: Array) -> tuple[Array, Array]:
        """h and s, (n, terms + 1)."""
        found = []
        for grid in self.grids:
            out = np.empty((len(root_q), grid.shape[1]))
            series.interpolate(root_q, grid, self.spacing, out)
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
