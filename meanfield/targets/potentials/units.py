"""Potentials of sums of units, unit by unit of the target.

Pairs of a neuron and a unit have closed forms or Hermite series. Without them: given λ*, λ is
Gaussian, so that the average over it is one over a coordinate, which the student knows, and a rule
over λ* does the rest. Another rule, finer and elsewhere, is what that is held to.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.polynomial.chebyshev import chebval

from meanfield.activations import Activation
from meanfield.gaussian.coordinate_averages import stepping_rule
from meanfield.gaussian.hermite_expansions import Expansion, expand
from meanfield.gaussian.pair_averages import (
    PairAverages,
    closed_averages,
    expanded_averages,
    expanded_error,
)
from meanfield.gaussian.rules import Rule, panel_rule
from meanfield.kernels.activations.units import SQUARE
from meanfield.kernels.targets import target_slopes
from meanfield.targets.base import LinkUnits
from meanfield.targets.potentials.base import TINY, Array, Potential, Values, variances

REACH = 9.0  # of a rule over λ*: beyond, x⁸ times a Gaussian holds 1e-12 of its mass
WIDEST, NODES = 1.1, 14  # panels, in units of the link's strip, and nodes in each
STRIP = 3.5  # of functions that are analytic further out, where a Gaussian's own growth counts
OCTAVES, OCTAVES_SMOOTH = 40, 16  # towards 0, where a neuron with r → 0 has its kink, or is steep
CHUNK = 2**18  # numbers at a time
TERMS, ROUNDING = (96, 192, 384, 768), 1e-14  # of a series in a cosine; what it may leave out
BATCH = 2**13  # neurons at a time
Nodes = list[tuple[Array, Array, Array]]
SERIES_COST, EXPANDED_COST, LINK_COST = 1e-6, 1e-5, 5e-5  # seconds of a neuron


def link_rule(
    student: Activation,
    link: Activation,
    length: float,
    *,
    reach: float = math.inf,
    other: bool = False,
) -> Rule:
    """Nodes and weights over a standard Gaussian x, for σ*(length x) times what a student makes.

    Panels as wide as the link varies, broken at its kinks; towards 0 they shrink by halves, or by
    thirds in the other rule, whose panels are narrower: under a smooth student no further than
    neurons with |u| ≤ reach are steep. Where the link is smooth too, the other rule is one of equal
    steps, if that takes fewer nodes. Either is good to rounding.
    """
    shrinking, narrower = (3.0, 0.83) if other else (2.0, 1.0)
    widest = min(1.0, WIDEST * min(link.strip, STRIP) / length) * narrower
    octaves: float = OCTAVES if student.homogeneous else OCTAVES_SMOOTH
    if student.smooth and math.isfinite(reach):
        steep = widest * reach / (WIDEST * min(student.strip, STRIP))
        octaves = min(octaves, math.log2(max(steep, 1.0)))
    graded = widest * shrinking ** -np.arange(math.ceil(octaves / math.log2(shrinking)) + 1.0)
    plain = np.linspace(widest, REACH, math.ceil((REACH - widest) / widest) + 1)
    kinks = np.abs(np.asarray(link.kinks, dtype=np.float64)) / length
    edges = np.unique(np.concatenate(([0.0], graded, plain, kinks[kinks < REACH])))
    if other and student.smooth and link.smooth and math.isfinite(reach):
        steps = stepping_rule(max(length / min(link.strip, STRIP), reach / student.strip))
        if len(steps[0]) < 2 * NODES * (len(edges) - 1):
            return steps
    half, weight = panel_rule(edges, NODES)
    weight = weight * np.exp(-0.5 * half * half)
    weight = np.concatenate((weight[::-1], weight)) / (2.0 * weight.sum())
    return np.concatenate((-half[::-1], half)), weight


def _nodes_of(
    student: Activation, units: LinkUnits, *, reach: float = math.inf, other: bool = False
) -> Iterator[tuple[Array, Array, Array]]:
    """Of each unit its direction, nodes x over λ* = |b| x, and weights times a*_r/k times σ*.

    Of an odd link seen by an odd student x and −x add the same: x > 0 stand for both.
    """
    for b, share in zip(units.basis, units.shares, strict=True):
        length = math.sqrt(float(b @ b))
        if length > 0.0:
            x, w = link_rule(student, units.link, length, reach=reach, other=other)
            if student.odd and units.link.odd:
                x, w = x[len(x) // 2 :], 2.0 * w[len(x) // 2 :]
            yield b / length, x, share * w * units.link(length * x)


class LinkRules(Potential):
    """Σ_r (a*_r/k) E σ*(√P x) g0(c x/√P, s): given λ* = √P x, λ has mean c x/√P and variance s²."""

    cost = LINK_COST

    def __init__(self, student: Activation, units: LinkUnits, *, finer: bool = False):
        self.student, self.units, self.finer = student, units, finer

    @cached_property
    def nodes(self) -> Nodes:
        """Of each unit; see `_nodes_of`."""
        return list(_nodes_of(self.student, self.units))

    @property
    def other(self) -> Potential | None:
        """See `Potential`: a finer rule with other nodes."""
        return LinkRules(self.student, self.units, finer=True)

    def __call__(self, u: Array, r: Array, students: Expansion | None = None) -> Values:
        """See `Potential`."""
        nodes = self.nodes if not self.finer else self._finer_nodes(u)
        size = max(1, CHUNK // max((len(x) for _, x, _ in nodes), default=1))
        parts = [self._part(nodes, u[i : i + size], r[i : i + size])
                 for i in range(0, len(r), size)]  # fmt: skip
        value, out_u, out_r = (np.concatenate(pieces) for pieces in zip(*parts, strict=True))
        return value, out_u, out_r

    def _finer_nodes(self, u: Array) -> Nodes:
        """As few as these neurons need: a check's last digits may depend on who comes along."""
        reach = math.sqrt(float((u * u).sum(axis=1).max(initial=0.0)))
        return list(_nodes_of(self.student, self.units, reach=reach, other=True))

    def _part(self, nodes: Nodes, u: Array, r: Array) -> Values:
        value, out_u, out_r = np.zeros_like(r), np.zeros_like(u), np.zeros_like(r)
        for direction, x, seen in nodes:
            along = u @ direction
            beside = u - along[:, None] * direction  # s² without cancellation
            s = np.sqrt((beside**2).sum(axis=1) + r * r)
            at = along[:, None] * x, s[:, None]
            g1, g2 = self.student.average_slopes(*at, math.inf)
            value += self.student.average(*at, math.inf) @ seen
            spread = (g2 @ seen) / np.maximum(s, TINY)
            out_u += (g1 @ (seen * x))[:, None] * direction + spread[:, None] * beside
            out_r += spread * r
        return value, out_u, out_r


class CosineSeries(Potential):
    """The same for a homogeneous student under smooth links: two series for each unit.

    A unit b makes a potential R F(c), c the cosine between the neuron and b. Its slope is A(c)
    along b and G(c)/R times what of the neuron lies beside it, and F = c A + (1 − c²) G.
    """

    cost = SERIES_COST

    def __init__(self, student: Activation, units: LinkUnits):
        self.student, self.units = student, units

    @cached_property
    def series(self) -> list[tuple[Array, Array]]:
        """Of each unit its direction, and the coefficients of A and G."""
        nodes = _nodes_of(self.student, self.units)
        return [(b, _series(self.student, x, seen)) for b, x, seen in nodes]

    @property
    def other(self) -> Potential | None:
        """See `Potential`: a rule of other nodes."""
        return LinkRules(self.student, self.units, finer=True)

    def __call__(self, u: Array, r: Array, students: Expansion | None = None) -> Values:
        """See `Potential`."""
        value, out_u, out_r = np.zeros_like(r), np.zeros_like(u), np.zeros_like(r)
        for i in range(0, len(r), BATCH):
            some = slice(i, i + BATCH)
            q = np.einsum("ix,ix->i", u[some], u[some]) + r[some] ** 2
            inverse = 1.0 / np.sqrt(np.maximum(q, TINY))
            for direction, series in self.series:
                along = u[some] @ direction
                beside = u[some] - along[:, None] * direction
                A, G = chebval(along * inverse, series)
                G *= inverse
                value[some] += along * A + ((beside**2).sum(axis=1) + r[some] ** 2) * G
                out_u[some] += A[:, None] * direction + G[:, None] * beside
                out_r[some] += G * r[some]
        return value, out_u, out_r


def _series(student: Activation, x: Array, seen: Array) -> Array:
    """Chebyshev coefficients of A and G, (terms, 2): as many as it takes."""
    for terms in TERMS:
        order = np.arange(terms)
        angle = math.pi * (order + 0.5) / terms
        c, s = np.cos(angle), np.sin(angle)
        g1, g2 = student.average_slopes(c[:, None] * x, s[:, None], math.inf)
        to_series = np.cos(np.outer(order, angle)) * (2.0 / terms)
        to_series[0] *= 0.5
        series = to_series @ np.stack((g1 @ (seen * x), (g2 @ seen) / s), axis=1)
        size = np.abs(series)
        scale = float(np.abs(seen * x).sum())
        kept = 1 + int(np.flatnonzero((size > ROUNDING * scale).any(axis=1)).max(initial=0))
        if kept < 0.9 * terms:
            break
    return series[:kept]


class UnitPairs(Potential):
    """What averages over pairs of a neuron and a unit give, by Stein's lemma."""

    def __init__(self, student: Activation, units: LinkUnits):
        self.student, self.link = student, units.link
        self.basis, self.shares = np.array(units.basis), units.shares
        self.P = (self.basis**2).sum(axis=1)

    def summed(self, pairs: PairAverages, u: Array, r: Array) -> Values:
        """V and its slopes from averages over pairs (n, k)."""
        b = pairs.B @ self.shares
        slope_u = (pairs.A * self.shares) @ self.basis + b[:, None] * u
        return pairs.value @ self.shares, slope_u, b * r


class ClosedPairs(UnitPairs):
    """Where a pair has a closed form; see `meanfield.gaussian.pair_averages`."""

    cost = 0.0

    def __init__(self, student: Activation, units: LinkUnits):
        super().__init__(student, units)
        self.coded = max(student.code, self.link.code) <= SQUARE

    def __call__(self, u: Array, r: Array, students: Expansion | None = None) -> Values:
        """See `Potential`."""
        if not self.coded:
            c = u @ self.basis.T
            found = closed_averages(self.student, self.link, variances(u, r), self.P, c)
            return self.summed(found, u, r)
        value, out_u, out_r = np.empty_like(r), np.empty_like(u), np.empty_like(r)
        codes = self.student.code, self.link.code
        target_slopes(*codes, u, r, self.basis, self.shares, value, out_u, out_r)
        return value, out_u, out_r


class ExpandedPairs(UnitPairs):
    """By the Hermite series of both, for callers that have the students' coefficients."""

    cost = EXPANDED_COST
    precise = False  # kinks may leave out more

    def __init__(self, student: Activation, units: LinkUnits):
        super().__init__(student, units)
        natural = expand(self.link, self.P)
        self.degree = natural.degree
        self.expansions = {self.degree: natural}
        self.size = float(np.abs(self.shares) @ np.sqrt(natural.square))  # at least √(E f*²)

    def _pairs(
        self, u: Array, r: Array, students: Expansion
    ) -> tuple[Expansion, Expansion, Array, Array, Array]:
        """Both series, of one degree, with the variances and covariances of the pairs."""
        degree = students.degree
        if degree not in self.expansions:
            self.expansions[degree] = expand(self.link, self.P, degree)
        return students, self.expansions[degree], variances(u, r), self.P, u @ self.basis.T

    def _of(self, u: Array, r: Array, students: Expansion | None) -> Expansion:
        return expand(self.student, variances(u, r), self.degree) if students is None else students

    def __call__(self, u: Array, r: Array, students: Expansion | None = None) -> Values:
        """See `Potential`."""
        pairs = self._pairs(u, r, self._of(u, r, students))
        return self.summed(expanded_averages(*pairs, same=False, with_error=False), u, r)

    def miss(
        self, u: Array, r: Array, students: Expansion | None = None, found: Values | None = None
    ) -> Values:
        """See `Potential`: what the series leave out, of every pair relative to its norms."""
        students = self._of(u, r, students)
        off = expanded_error(*self._pairs(u, r, students)) * self.size
        slope = off * np.sqrt(students.slope_square)
        return off * np.sqrt(students.square), np.outer(slope, np.ones(u.shape[1])), slope
