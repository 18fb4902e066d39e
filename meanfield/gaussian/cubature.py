"""E h(z) over z ~ N(0, I_k) of any h, with an estimate of its error.

Product rules serve smooth functions; two of them that agree are believed. Otherwise h has kinks,
jumps or steep places. Up to three coordinates it is then integrated over one after another, each in
panels that are halved where a Chebyshev series says that h is rough: an integral across a kink is
smooth in the coordinates that are left. Beyond, by independent scramblings of a Sobol sequence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.gaussian.rules import (
    PRODUCT_NODES,
    gaussian_density,
    gaussian_nodes,
    hermite_rule,
    product_rule,
)
from meanfield.gaussian.sobol import REPLICATES, sobol_points

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

AGREE = 1e-11  # relative, of two product rules that are believed
FEW_NODES = {5: (8, 10), 6: (6, 7), 7: (5, 6), 8: (4, 5), 9: (3, 4)} | dict.fromkeys(
    (10, 11, 12), (2, 3)
)
REACH = 9.0
# panels on (−REACH, REACH), nodes in each, and the relative error aimed at, by coordinates
PANELS = {1: (12, 20, 1e-12), 2: (6, 20, 1e-11), 3: (6, 16, 1e-9)}
NARROWEST = 1e-12
MOST_POINTS, CHUNK = 2**26, 2**17
POWERS, SOBOL_TOLERANCE = (13, 15, 16, 17, 18), 5e-5


class Estimate(NamedTuple):
    """A number, and an estimate of its error."""

    value: float
    error: float


def gaussian_mean(function: Function, k: int, *, smooth: bool = True) -> Estimate:
    """E h(z) over z ~ N(0, I_k), for h from (S, k) to (S,).

    Parameters
    ----------
    function : callable
        h, growing no faster than a polynomial.
    k : int
    smooth : bool
        False breaks the first rules tried at the coordinate planes.
    """
    found = _by_products(function, k, smooth)
    if found is not None and found.error <= AGREE * abs(found.value):
        return found
    if k in PANELS:
        return _Nested(function, k, abs(found.value) if found is not None else 1.0).mean()
    return _by_sobol_sequences(function, k)


def _by_products(function: Function, k: int, smooth: bool) -> Estimate | None:
    """Two product rules, and their difference."""
    if k in PRODUCT_NODES:
        rules = [gaussian_nodes(k, smooth=smooth, level=level) for level in (0, 1)]
    elif k in FEW_NODES:
        rules = [product_rule(*hermite_rule(nodes), k) for nodes in FEW_NODES[k]]
    else:
        return None
    coarse, fine = (float(w @ function(z)) for z, w in rules)
    return Estimate(fine, abs(fine - coarse))


def _by_sobol_sequences(function: Function, k: int) -> Estimate:
    """The mean over independent scramblings, and three times its standard error."""
    for power in POWERS:
        means = np.array(
            [function(sobol_points(k, power, (power, i))).mean() for i in range(REPLICATES)]
        )
        value, error = float(means.mean()), 3.0 * float(means.std(ddof=1)) / REPLICATES**0.5
        if error <= SOBOL_TOLERANCE * abs(value):
            break
    return Estimate(value, error)


@lru_cache(maxsize=8)
def _panel(nodes: int) -> tuple[Array, Array, Array]:
    """Nodes on (0, 1), weights, and the matrix to the last two coefficients of Chebyshev's series.

    Clenshaw and Curtis's rule: its nodes hold both ends, so that a kink close to one is seen.
    """
    n = nodes - 1
    angle = math.pi * np.arange(nodes) / n
    ends = np.where((np.arange(nodes) % n) == 0, 0.5, 1.0)
    to_series = ends[:, None] * np.cos(np.outer(angle, np.arange(nodes))) * (2.0 / n) * ends
    even = np.arange(0, nodes, 2)
    weights = to_series[:, even] @ (1.0 / (1.0 - even**2.0))
    return 0.5 * (1.0 - np.cos(angle)), weights, to_series[:, -2:]


class _Nested:
    """One coordinate after another, the last one innermost."""

    def __init__(self, function: Function, k: int, scale: float):
        self.function, self.k = function, k
        self.panels, nodes, relative = PANELS[k]
        self.x, self.w, self.to_series = _panel(nodes)
        self.tolerance = relative * (scale or 1.0)
        self.points = 0

    def mean(self) -> Estimate:
        """The whole."""
        value, error = self._along_next_coordinate(np.empty((1, 0)), np.ones(1))
        return Estimate(float(value[0]), float(error[0]))

    def _inner(self, points: Array, weight: Array) -> tuple[Array, Array]:
        """The mean over the coordinates that points (S, m) lack, and its error."""
        if points.shape[1] == self.k:
            self.points += len(points)
            return self.function(points), np.zeros(len(points))
        size = max(1, CHUNK // (self.panels * len(self.x)))
        parts = [
            self._along_next_coordinate(points[i : i + size], weight[i : i + size])
            for i in range(0, len(points), size)
        ]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def _along_next_coordinate(self, fixed: Array, weight: Array) -> tuple[Array, Array]:
        """The mean along the next coordinate for each row of fixed ones (L, m).

        `weight` is the density of what is fixed: where it is small, so is the accuracy wanted.
        """
        L, width = len(fixed), 2.0 * REACH / self.panels
        line = np.repeat(np.arange(L), self.panels)
        left = np.tile(-REACH + width * np.arange(self.panels), L)
        total, missed = np.zeros(L), np.zeros(L)
        while len(line):
            x = left[:, None] + width * self.x
            density = gaussian_density(x)
            points = np.concatenate(
                (np.repeat(fixed[line], len(self.x), axis=0), x.reshape(-1, 1)), axis=1
            )
            around = (weight[line, None] * density).ravel()
            values, inner = (part.reshape(x.shape) for part in self._inner(points, around))
            rough = width * _roughness(values * density, self.to_series)
            last = width < NARROWEST or self.points > MOST_POINTS
            kept = (rough * weight[line] <= self.tolerance) | last
            whole, inside = width * (values * density) @ self.w, width * (inner * density) @ self.w
            total += np.bincount(line[kept], whole[kept], L)
            missed += np.bincount(line[kept], rough[kept] + inside[kept], L)
            line, left, width = line[~kept], left[~kept], 0.5 * width
            line, left = np.repeat(line, 2), np.repeat(left, 2)
            left[1::2] += width
        return total, missed


def _roughness(values: Array, to_series: Array) -> Array:
    """What a rule may miss of values (P, nodes) on panels of unit width: the series' last terms.

    The rule holds nearly twice as many, so that smooth functions are known better than this says.
    """
    return np.abs(values @ to_series).max(axis=1)
