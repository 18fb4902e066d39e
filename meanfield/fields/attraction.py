"""What the target does to a neuron: E f* σ(λ) and its slopes in u and r, at any D.

λ is Gaussian whatever D is, so the average over it, given the target's own pre-activation, is one
over a Gaussian coordinate. Closed forms where both functions have them; a rule over each λ* for
other committees; Hermite coefficients for polynomials of the principal coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.polynomial.chebyshev import chebval

from meanfield.activations import Activation
from meanfield.fields.base import Array
from meanfield.fields.expansion import Expansion, expansion_of, polynomial_part
from meanfield.fields.rules import graded_rule
from meanfield.fields.units import coefficients, make_units
from meanfield.kernels import pairwise
from meanfield.kernels.codes import ERF, LEAKY_RELU, RELU, SQUARE
from meanfield.problem import Problem
from meanfield.targets import CommitteeTarget

Potential = tuple[Array, Array, Array]
Attraction = Callable[[Array, Array], Potential]

PANELS = 40  # on each side of 0, where a kinked neuron with r → 0 has its kink
CHUNK = 2**18  # numbers at a time
NODES, ROUNDING = 96, 1e-14  # of a series in a cosine, and what it may leave out
BATCH = 2**13  # neurons at a time
TINY = 1e-300


def attraction(problem: Problem) -> Attraction | None:
    """E f* σ(λ), ∂/∂u, ∂/∂r as a function of (u, r); None where only nodes over z would do."""
    student, target = problem.student, problem.target
    if isinstance(target, CommitteeTarget):
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
    return None


def _closed(code: int, target: CommitteeTarget) -> Attraction:
    basis, weights = np.array(target.basis), np.asarray(target.weights) / target.k

    def potential(u: Array, r: Array) -> Potential:
        value, out_u, out_r = np.empty_like(r), np.empty_like(u), np.empty_like(r)
        pairwise.target_slopes(code, target.link.code, u, r, basis, weights, value, out_u, out_r)
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


def _over_links(student: Activation, target: CommitteeTarget) -> Attraction:
    """Σ_r (a*_r/k) E σ*(√P x) g0(c x/√P, s): given λ* = √P x, λ has mean c x/√P and variance s²."""
    rule = graded_rule(math.inf, PANELS, 1)
    x, w = rule.z[0], rule.weight
    units = [
        (b / math.sqrt(P), weight * w * target.link(math.sqrt(P) * x))
        for b, weight in zip(target.basis, np.asarray(target.weights) / target.k, strict=True)
        if (P := float(b @ b)) > 0.0
    ]

    def part(u: Array, r: Array) -> Potential:
        value, out_u, out_r = np.zeros_like(r), np.zeros_like(u), np.zeros_like(r)
        for direction, seen in units:
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
        size = max(1, CHUNK // len(x))
        parts = [part(u[i : i + size], r[i : i + size]) for i in range(0, len(r), size)]
        value, out_u, out_r = (np.concatenate(pieces) for pieces in zip(*parts, strict=True))
        return value, out_u, out_r

    return potential


def _over_smooth_links(student: Activation, target: CommitteeTarget) -> Attraction:
    """The same for a homogeneous student, at the cost of two series for each unit.

    A unit b makes a potential R F(c), c the cosine between the neuron and b. Its slope is A(c)
    along b and G(c)/R times what of the neuron lies beside it, and F = c A + (1 − c²) G.
    """
    rule = graded_rule(math.inf, PANELS, 1)
    x, w = rule.z[0], rule.weight
    order = np.arange(NODES)
    c, s = (f(math.pi * (order + 0.5) / NODES) for f in (np.cos, np.sin))
    g1, g2 = student.average_slopes(c[:, None] * x, s[:, None], math.inf)
    to_series = np.cos(np.outer(order, math.pi * (order + 0.5) / NODES)) * (2.0 / NODES)
    to_series[0] *= 0.5
    units = []
    for b, weight in zip(target.basis, np.asarray(target.weights) / target.k, strict=True):
        length = math.sqrt(float(b @ b))
        if length > 0.0:
            seen = weight * w * target.link(length * x)
            series = to_series @ np.stack((g1 @ (seen * x), (g2 @ seen) / s), axis=1)
            size = np.abs(series)
            kept = 1 + int(
                np.flatnonzero((size > ROUNDING * size.max()).any(axis=1)).max(initial=0)
            )
            units.append((b / length, series[:kept]))

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


def _of_polynomial(student: Activation, expansion: Expansion) -> Attraction:
    """For a homogeneous student h_m(q) = √q h_m(1) and s_m(q) = s_m(1)."""
    terms = max(sum(index) for index, _ in expansion) + 2
    h, s = coefficients(student, np.ones(1), terms)

    def potential(u: Array, r: Array) -> Potential:
        root = np.sqrt(np.einsum("ix,ix->i", u, u) + r * r)
        every = np.ones((len(r), 1))
        return polynomial_part(expansion, make_units(u, r, root, root[:, None] * h, every * s))

    return potential
