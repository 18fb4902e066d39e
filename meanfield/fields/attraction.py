"""What the target does to a neuron: E f* σ(λ) and its slopes in u and r, at any D.

λ is Gaussian whatever D is, so the average over it, given the target's own pre-activation, is one
over a Gaussian coordinate. Closed forms where both functions have them; a rule over each λ* for
other committees; Hermite coefficients for polynomials of the principal coordinates; nodes across
each neuron for other smooth functions of two or three. What is not closed has another rule, finer
and elsewhere, that it is held to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.polynomial.chebyshev import chebval

from meanfield.activations import Activation
from meanfield.fields.across import across
from meanfield.fields.base import Array
from meanfield.fields.expansion import Expansion, expansion_of, polynomial_part
from meanfield.fields.units import make_units
from meanfield.gaussian.coefficients import coefficients
from meanfield.gaussian.rules import Rule, panel_rule
from meanfield.kernels.activations.codes import ERF, LEAKY_RELU, RELU, SQUARE
from meanfield.kernels.fields.pairs import closed
from meanfield.problem import Problem
from meanfield.targets import CommitteeTarget, Polynomial, units_of

Potential = tuple[Array, Array, Array]
Attraction = Callable[[Array, Array], Potential]

REACH = 9.0  # of a rule over λ*: beyond, x⁸ times a Gaussian holds 1e-12 of its mass
WIDEST, NODES = 1.1, 14  # panels, in units of the link's strip, and nodes in each
OCTAVES, OCTAVES_SMOOTH = 40, 16  # towards 0, where a neuron with r → 0 has its kink, or is steep
CHUNK = 2**18  # numbers at a time
TERMS, ROUNDING = (96, 192, 384, 768), 1e-14  # of a series in a cosine; what it may leave out
CLOSED = (ERF, RELU, LEAKY_RELU)
BATCH = 2**13  # neurons at a time
TINY = 1e-300
SERIES_COST, LINK_COST = 1e-6, 5e-5  # seconds of a neuron


def attraction(problem: Problem) -> Attraction | None:
    """E f* σ(λ), ∂/∂u, ∂/∂r as a function of (u, r); None where only nodes over z would do."""
    student, target = problem.student, problem.target
    if units_of(target) is not None:
        if student.code in (ERF, RELU) and target.link.code <= SQUARE:
            return _closed(student.code, target)
        if student.code == LEAKY_RELU and target.link.code <= SQUARE:
            return _leaky(student.parameter, target)
        if student.homogeneous and target.link.code == LEAKY_RELU:
            return _under_leaky(problem, target)
        if student.homogeneous and target.link.smooth:
            return _over_smooth_links(student, target)
        return _over_links(student, target)
    expansion = expansion_of(target)
    if expansion is not None and student.homogeneous:
        return _of_polynomial(student, expansion)
    return across(student, target)


def attraction_cost(problem: Problem) -> float:
    """Seconds that takes for a neuron, rough; infinite where there is none."""
    student, target = problem.student, problem.target
    if units_of(target) is not None:
        if student.code in CLOSED and target.link.code <= SQUARE:
            return 0.0
        piecewise = target.link.smooth or target.link.homogeneous
        return SERIES_COST if student.homogeneous and piecewise else LINK_COST
    found = attraction(problem)
    return math.inf if found is None else getattr(found, "cost", SERIES_COST)


def other_attraction(problem: Problem) -> Attraction | None:
    """The same by other means, to hold it to: None where it is closed, or where there are none."""
    student, target = problem.student, problem.target
    if units_of(target) is None:
        return (
            None if isinstance(target.function, Polynomial) else across(student, target, other=True)
        )
    homogeneous = student.homogeneous and target.link.homogeneous
    if homogeneous or (student.code in CLOSED and target.link.code <= SQUARE):
        return None
    return _over_links(student, target, other=True)


def attraction_miss(problem: Problem, found: Potential, u: Array, r: Array) -> Potential:
    """By how much the value and the slopes found at neurons are off, as far as can be told."""
    other = other_attraction(problem)
    if other is None:
        return np.zeros_like(r), np.zeros_like(u), np.zeros_like(r)
    value, slope_u, slope_r = (x - y for x, y in zip(found, other(u, r), strict=True))
    return value, slope_u, slope_r


def _closed(code: int, target: CommitteeTarget) -> Attraction:
    basis, weights = np.array(target.basis), np.asarray(target.weights) / target.k

    def potential(u: Array, r: Array) -> Potential:
        value, out_u, out_r = np.empty_like(r), np.empty_like(u), np.empty_like(r)
        closed.target_slopes(code, target.link.code, u, r, basis, weights, value, out_u, out_r)
        return value, out_u, out_r

    return potential


def _leaky(leak: float, target: CommitteeTarget) -> Attraction:
    """Of βx + (1 − β) ReLU(x): E f* λ = u · E f* z, and E f* z = Σ_r (a*_r/k) E σ*'(λ*_r) b_r."""
    rectified = _closed(RELU, target)
    weights = np.asarray(target.weights) / target.k
    lengths = np.sqrt((np.asarray(target.basis) ** 2).sum(axis=1))
    slopes = coefficients(target.link, lengths, 1)[1][:, 0]
    linear = leak * (weights * slopes) @ target.basis

    return _mixed(1.0 - leak, rectified, linear)


def _under_leaky(problem: Problem, target: CommitteeTarget) -> Attraction | None:
    """For links βx + (1 − β) ReLU(x): E λ*_r σ(λ) = u·b_r E σ'(λ), the mean of two slopes."""
    leak = target.link.parameter
    rectified = attraction(replace(problem, target=replace(target, activation="relu")))
    ends = problem.student(np.array([1.0, -1.0]))
    slope = 0.5 * float(ends[0] - ends[1])
    linear = leak * slope * (np.asarray(target.weights) / target.k) @ target.basis
    return None if rectified is None else _mixed(1.0 - leak, rectified, linear)


def _mixed(kept: float, rectified: Attraction, linear: Array) -> Attraction:
    """A share of one potential, and u · linear."""

    def potential(u: Array, r: Array) -> Potential:
        value, out_u, out_r = rectified(u, r)
        return kept * value + u @ linear, kept * out_u + linear, kept * out_r

    return potential


def link_rule(student: Activation, link: Activation, length: float, *, other: bool = False) -> Rule:
    """Nodes and weights over a standard Gaussian x, for σ*(length x) times what a student makes.

    Panels as wide as the link varies, broken at its kinks; towards 0 they shrink by halves, or by
    thirds in the other rule, which has more nodes.
    """
    steps, nodes = (3.0, NODES + 6) if other else (2.0, NODES)
    widest = min(1.0, WIDEST * min(link.strip, 3.5) / length) * (0.83 if other else 1.0)
    octaves = OCTAVES if student.homogeneous else OCTAVES_SMOOTH
    graded = widest * steps ** -np.arange(math.ceil(octaves / math.log2(steps)) + 1.0)
    plain = np.linspace(widest, REACH, math.ceil((REACH - widest) / widest) + 1)
    kinks = np.abs(np.asarray(link.kinks, dtype=np.float64)) / length
    edges = np.unique(np.concatenate(([0.0], graded, plain, kinks[kinks < REACH])))
    half, weight = panel_rule(edges, nodes)
    weight = weight * np.exp(-0.5 * half * half)
    weight = np.concatenate((weight[::-1], weight)) / (2.0 * weight.sum())
    return np.concatenate((-half[::-1], half)), weight


def _units_of(
    student: Activation, target: CommitteeTarget, *, other: bool = False
) -> Iterator[tuple[Array, Array, Array]]:
    """Of each unit its direction, nodes x over λ* = |b| x, and weights times a*_r/k times σ*."""
    for b, weight in zip(target.basis, np.asarray(target.weights) / target.k, strict=True):
        length = math.sqrt(float(b @ b))
        if length > 0.0:
            x, w = link_rule(student, target.link, length, other=other)
            yield b / length, x, weight * w * target.link(length * x)


def _over_links(student: Activation, target: CommitteeTarget, *, other: bool = False) -> Attraction:
    """Σ_r (a*_r/k) E σ*(√P x) g0(c x/√P, s): given λ* = √P x, λ has mean c x/√P and variance s²."""
    units = list(_units_of(student, target, other=other))

    def part(u: Array, r: Array) -> Potential:
        value, out_u, out_r = np.zeros_like(r), np.zeros_like(u), np.zeros_like(r)
        for direction, x, seen in units:
            along = u @ direction
            beside = u - along[:, None] * direction  # s² without cancellation
            s = np.sqrt((beside**2).sum(axis=1) + r * r)
            at = along[:, None] * x, s[:, None]
            g1, g2 = student.average_slopes(*at, math.inf)
            value += student.average(*at, math.inf) @ seen
            spread = (g2 @ seen) / np.maximum(s, TINY)
            out_u += (g1 @ (seen * x))[:, None] * direction + spread[:, None] * beside
            out_r += spread * r
        return value, out_u, out_r

    def potential(u: Array, r: Array) -> Potential:
        size = max(1, CHUNK // max((len(x) for _, x, _ in units), default=1))
        parts = [part(u[i : i + size], r[i : i + size]) for i in range(0, len(r), size)]
        value, out_u, out_r = (np.concatenate(pieces) for pieces in zip(*parts, strict=True))
        return value, out_u, out_r

    return potential


def _over_smooth_links(student: Activation, target: CommitteeTarget) -> Attraction:
    """The same for a homogeneous student, at the cost of two series for each unit.

    A unit b makes a potential R F(c), c the cosine between the neuron and b. Its slope is A(c)
    along b and G(c)/R times what of the neuron lies beside it, and F = c A + (1 − c²) G.
    """
    units = [(b, _series(student, x, seen)) for b, x, seen in _units_of(student, target)]

    def potential(u: Array, r: Array) -> Potential:
        value, out_u, out_r = np.zeros_like(r), np.zeros_like(u), np.zeros_like(r)
        for i in range(0, len(r), BATCH):
            some = slice(i, i + BATCH)
            q = np.einsum("ix,ix->i", u[some], u[some]) + r[some] ** 2
            inverse = 1.0 / np.sqrt(np.maximum(q, TINY))
            for direction, series in units:
                along = u[some] @ direction
                beside = u[some] - along[:, None] * direction
                A, G = chebval(along * inverse, series)
                G *= inverse
                value[some] += along * A + ((beside**2).sum(axis=1) + r[some] ** 2) * G
                out_u[some] += A[:, None] * direction + G[:, None] * beside
                out_r[some] += G * r[some]
        return value, out_u, out_r

    return potential


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


def _of_polynomial(student: Activation, expansion: Expansion) -> Attraction:
    """For a homogeneous student h_m(q) = √q h_m(1) and s_m(q) = s_m(1)."""
    terms = max(sum(index) for index, _ in expansion) + 2
    h, s = coefficients(student, np.ones(1), terms)

    def potential(u: Array, r: Array) -> Potential:
        root = np.sqrt(np.einsum("ix,ix->i", u, u) + r * r)
        every = np.ones((len(r), 1))
        return polynomial_part(expansion, make_units(u, r, root, root[:, None] * h, every * s))

    return potential
