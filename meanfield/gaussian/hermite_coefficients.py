"""Hermite coefficients of a function at many scales: what a unit of variance q contributes.

h_m(q) = E σ(√q G) he_m(G), s_m(q) = E σ'(√q G) he_m(G), he_m the normalised Hermite polynomials.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from meanfield.gaussian.hermite_expansions import expand
from meanfield.gaussian.rules import panel_rule
from meanfield.gaussian.unit_function import UnitFunction
from meanfield.kernels.activations.units import ERF, LEAKY_RELU, RELU

Array = NDArray[np.float64]

TINY = 1e-12
PANELS, PANEL_NODES, PANEL_REACH = 260, 12, 13.0  # of a rule that nothing else uses


def coefficients(function: UnitFunction, root_q: Array, terms: int) -> tuple[Array, Array]:
    """h_m and s_m for m < terms at each √q, two arrays (len(root_q), terms)."""
    found = expand(function, root_q**2, terms)
    return found.C[:, :terms], found.S[:, :terms]


def coefficients_by_panels(
    function: UnitFunction, root_q: Array, terms: int
) -> tuple[Array, Array]:
    """The same in another way, for what they may be off by: many short panels, broken at kinks."""
    kinks = np.asarray(function.kinks, dtype=np.float64)
    value, slope = np.empty((len(root_q), terms)), np.empty((len(root_q), terms))
    for i, root in enumerate(root_q):
        breaks = np.abs(kinks) < PANEL_REACH * root
        edges = np.linspace(-PANEL_REACH, PANEL_REACH, PANELS + 1)
        x, w = panel_rule(np.union1d(edges, kinks[breaks] / max(root, TINY)), PANEL_NODES)
        w = w * np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
        table = hermite_table(x, terms)
        value[i] = table @ (w * function.function(root * x))
        slope[i] = table @ (w * function.derivative(root * x))
    return value, slope


def hermite_table(x: Array, terms: int) -> Array:
    """he_m(x) for m < terms, shape (terms, *x.shape)."""
    table = np.ones((terms, *x.shape))
    for m in range(1, terms):
        table[m] = x * table[m - 1]
        if m > 1:
            table[m] -= math.sqrt(m - 1) * table[m - 2]
        table[m] /= math.sqrt(m)
    return table


def student_coefficients(
    function: UnitFunction, root: Array, terms: int
) -> tuple[Array, Array, Array]:
    """h_m(q), s_m(q) and √(m + 1) s_{m+1}(q) for m < terms, in closed form of erf and ReLUs."""
    if function.code == ERF:
        h, s = erf_coefficients(root, terms + 1)
    elif function.code in (RELU, LEAKY_RELU):
        right, left = (float(function.function(np.array([x]))[0]) for x in (1.0, -1.0))
        h, s = homogeneous_coefficients(root, right, left, terms + 1)
    else:
        h, s = coefficients(function, root, terms + 1)
    return h[:, :-1], s[:, :-1], np.sqrt(np.arange(1.0, terms + 1)) * s[:, 1:]


def erf_coefficients(root: Array, terms: int) -> tuple[Array, Array]:
    """σ' = √(2/π) e^{−x²/2}: s_{2j} = √(2/π) (1 + q)^{−½} (−q/(1 + q))^j √(2j)!/(2^j j!)."""
    ratio = root * root / (1.0 + root * root)
    s = np.zeros((len(root), terms))
    s[:, 0] = math.sqrt(2.0 / math.pi) / np.sqrt(1.0 + root * root)
    for m in range(2, terms, 2):
        s[:, m] = -ratio * math.sqrt((m - 1.0) / m) * s[:, m - 2]
    return _integrated(root, s, np.zeros_like(root)), s


def homogeneous_coefficients(
    root: Array, right: float, left: float, terms: int
) -> tuple[Array, Array]:
    """σ' = right for x > 0 and −left below: s_m = (right + left) he_{m−1}(0)/√(2π m)."""
    s = np.zeros(terms)
    s[0] = 0.5 * (right - left)
    m = np.arange(1, terms)
    s[1:] = (right + left) * hermite_table(np.zeros(1), terms)[:-1, 0] / np.sqrt(2.0 * math.pi * m)
    every = np.ones((len(root), 1)) * s
    return _integrated(root, every, root * (right + left) / math.sqrt(2.0 * math.pi)), every


def _integrated(root: Array, s: Array, mean: Array) -> Array:
    """h_m = √q s_{m−1}/√m, and h_0 the mean given."""
    m = np.arange(1.0, s.shape[1])
    return np.concatenate((mean[:, None], root[:, None] * s[:, :-1] / np.sqrt(m)), axis=1)
