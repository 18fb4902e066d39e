"""Averages over pairs of neurons, E σ(x) σ(y), summed from Hermite series of given lengths.

The target enters through its own series: of its link for a committee, of its Hermite coefficients
for a polynomial of the principal coordinates. Coefficients of a student are read from a table over
its scale.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from meanfield.activations import Activation
from meanfield.fields.base import EDGE, Array, unlocked
from meanfield.gaussian.hermite_coefficients import coefficients, coefficients_by_panels
from meanfield.gaussian.rules import Rule
from meanfield.kernels.activations.units import CUSTOM
from meanfield.kernels.fields.mesh import BELOW, POINTS
from meanfield.kernels.fields.pairs import series
from meanfield.kernels.simd import LANES
from meanfield.problem import Problem
from meanfield.targets import units_of
from meanfield.targets.hermite import polynomial_of
from meanfield.targets.potentials.hermite_sums import Coefficients, HermiteSums

HEADROOM = 1.3  # how far beyond the neurons a table reaches
FURTHEST = 1e3  # no series converges there
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


class SeriesSums:
    """Sums over pairs of neurons, and of a neuron and the target, for a problem with such series.

    `terms` is how many terms a sum takes; the tables of coefficients it reads have a spacing
    `finer` times as small as usual. Both together name a table, which `cover` makes.
    """

    def __init__(self, problem: Problem):
        self.student, self.target = problem.student, problem.target
        self.D = problem.perpendicular_dim
        self.stride = 2 if self.student.odd else 1  # of the terms that are not 0
        self.units = units_of(self.target)
        self.polynomial: HermiteSums | None = None
        if self.units is None and (polynomial := polynomial_of(self.target)) is not None:
            self.polynomial = HermiteSums(self.student, polynomial)
        if self.polynomial is None:
            self.energy = self.target.second_moment()
            self.energy_error = self.target.second_moment_error()
        else:
            self.energy, self.energy_error = self.polynomial.norm**2, 0.0
        self.tables: dict[tuple[int, float], UnitTable] = {}
        self.links: dict[tuple[int, bool], Units] = {}

    def cover(self, u: Array, r: Array, terms: int, finer: float = 1.0) -> bool:
        """Make a table that reaches the neurons; False if none does."""
        with np.errstate(over="ignore"):
            furthest = math.sqrt(largest_square(u, r))
        if not furthest < FURTHEST:
            return False
        table = self.tables.get((terms, finer))
        if table is None or EDGE * table.reach < furthest:
            self.reach(1.0 + HEADROOM * furthest, terms, finer)
        return True

    def reach(self, furthest: float, terms: int, finer: float = 1.0) -> None:
        """Make a table up to that √(|u|² + r²), and what the target has instead of one."""
        own = self.student.code == CUSTOM  # which may have kinks that nobody has told of
        self.tables[terms, finer] = UnitTable(
            self.student, furthest, terms, finer, by_panels=own and finer > 1.0
        )
        if self.polynomial is None:
            self._link(terms, finer)

    def at(self, u: Array, r: Array, terms: int, finer: float = 1.0) -> Units:
        """Neurons with their series.

        Raises
        ------
        FloatingPointError
            If the table does not reach them.
        """
        root = np.sqrt(np.einsum("ix,ix->i", u, u) + r * r)
        table = self.tables.get((terms, finer))
        if table is None or not float(root.max()) <= table.reach:
            raise FloatingPointError("neurons have left the table")
        return make_units(u, r, root, *table.at(root))

    def _link(self, terms: int, finer: float = 1.0) -> tuple[Units, Array]:
        """The target's units as sources, and their weights."""
        target, checking = self.units, finer > 1.0
        assert target is not None
        if (terms, checking) not in self.links:
            B = np.array(target.basis)
            root = np.sqrt((B * B).sum(axis=1))
            expand = coefficients_by_panels if checking else coefficients
            h, s = expand(target.link, root, terms + 1)
            self.links[terms, checking] = make_units(B, np.zeros(len(B)), root, h, s)
        return self.links[terms, checking], target.shares

    def slopes(
        self, at: Units, charge: Array, sources: Units, terms: int, finer: float
    ) -> tuple[Array, Array]:
        """∂/∂u and ∂/∂r of E ε σ(λ) at neurons, for equal masses of the given charges."""
        out_u, out_r = np.zeros_like(at.u), np.zeros_like(at.r)
        self._add_slopes(at, -charge / len(charge), sources, self.D, out_u, out_r)
        if self.polynomial is None:
            link, weights = self._link(terms, finer)
            self._add_slopes(at, weights, link, math.inf, out_u, out_r)
        else:
            held = Coefficients(at.h, at.s, at.t)
            _, du, dr = self.polynomial.summed(at.u, at.r, held, "slopes")
            out_u, out_r = out_u + du, out_r + dr
        return out_u, out_r

    def _add_slopes(self, at: Units, c: Array, of: Units, D: float, u: Array, r: Array) -> None:
        """Add Σ_j c_j times the slopes of E σ(x_i) σ(y_j); D = ∞ for sources with r_j = 0."""
        even, odd = np.s_[:, :: self.stride], np.s_[:, self.stride - 1 :: self.stride]
        own = np.ascontiguousarray(at.s[even]), np.ascontiguousarray(at.t[odd])
        near, blocks = padded(c, of), (in_blocks(of.s[even]), in_blocks(of.h[odd]))
        step = recurrence_steps(D, at.s.shape[1])
        series.slopes(at.u, at.r, *own, *near, *blocks, self.stride, step, D, u, r)

    def values(self, at: Units, c: Array, of: Units, D: float) -> Array:
        """Σ_j c_j E σ(x_i) σ(y_j)."""
        out, odd = np.zeros_like(at.r), np.s_[:, self.stride - 1 :: self.stride]
        own, step = np.ascontiguousarray(at.h[odd]), recurrence_steps(D, at.s.shape[1])
        series.values(at.u, at.r, own, *padded(c, of), in_blocks(of.h[odd]), self.stride, step, out)
        return out

    def values_at(self, at: Units, c: Array, of: Units, rule: Rule) -> Array:
        """The same, averaged over Z by a rule."""
        out, contiguous = np.zeros_like(at.r), np.ascontiguousarray
        odd = np.s_[:, self.stride - 1 :: self.stride]
        series.values_at(
            at.u, at.r, contiguous(at.h[odd]), c, contiguous(of.u.T), of.r, 1.0 / of.root,
            contiguous(of.h[odd].T), self.stride, *rule, out,
        )  # fmt: skip
        return out

    def target_values(self, at: Units, terms: int, finer: float = 1.0) -> Array:
        """E f* σ(λ)."""
        if self.polynomial is not None:
            held = Coefficients(at.h, at.s, at.t)
            return self.polynomial.summed(at.u, at.r, held, "value")[0]
        link, weights = self._link(terms, finer)
        return self.values(at, weights, link, math.inf)

    def at_some(
        self, chosen: Array, u: Array, r: Array, charge: Array, terms: int, finer: float
    ) -> tuple[Array, Array, Array, Array]:
        """At the neurons `chosen` of all: slopes of E ε σ(λ), E f σ(λ) and E f* σ(λ)."""
        sources = self.at(u, r, terms, finer)
        some = Units(*(part[chosen] for part in sources))
        own = self.values(some, charge / len(r), sources, self.D)
        slopes = self.slopes(some, charge, sources, terms, finer)
        return *slopes, own, self.target_values(some, terms, finer)


def largest_square(u: Array, r: Array) -> float:
    """Largest variance of a pre-activation, |u|² + r²."""
    return float((np.einsum("ix,ix->i", u, u) + r * r).max())
