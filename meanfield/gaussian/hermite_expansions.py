"""Hermite coefficients of an activation at given variances, by quadrature.

For a unit of variance q, σ(√q g) = Σ_n c_n h_n(g) with h_n the polynomials of unit norm. Pairs of
units then need sums over n alone (Mehler's formula), and Parseval's identity says what a cut leaves
out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.gaussian.panels import find_panels
from meanfield.gaussian.rules import Rule, panel_rule
from meanfield.gaussian.unit_function import Ramps, UnitFunction, ramps_of
from meanfield.kernels.activations.units import HERMITE
from meanfield.kernels.gaussian.pair_averages import project_rows

Array = NDArray[np.float64]

REACH = 13.0  # polynomial times Gaussian is below 1e-16 beyond, at any degree
DEGREES = (32, 64, 128, 256, 512, 1024)  # tried in turn
KINKED_DEGREE = 256  # the coefficients of a kink fall so slowly that more would not pay
TOLERANCE = 1e-11  # of what the cut leaves out of E σ'², relative
POLYNOMIALS = 24.0, 48.0  # wave numbers of those of degree 256 and 1024
FINEST = 512.0  # wave number that equal steps resolve; beyond, panels of the function
PANEL_NODES = 12
LEAST = 1e-6  # of the largest norm: what errors of a unit with less are relative to


class KinkExpansion(NamedTuple):
    """The coefficients that the ramps of an activation have, and what is left without them.

    `tail` and `slope_tail` are the norms of what a cut leaves out of σ and σ' less their ramps.
    """

    ramps: Ramps
    C: Array
    S: Array
    B: Array
    tail: Array
    slope_tail: Array


@dataclass(frozen=True)
class Expansion:
    """Coefficients of units of one activation and variances q (m,).

    Attributes
    ----------
    C, S, B : ndarray, shape (m, N)
        Coefficients of σ, σ' and σ'' as functions of the unit Gaussian.
    square, slope_square, mixed : ndarray, shape (m,)
        E σ², E σ'² and E σ''σ at each unit's own variance.
    tail, slope_tail : ndarray, shape (m,)
        Norms of what the cut leaves out of σ and of σ'.
    natural : int
        How many coefficients hold everything to rounding, if any number up to the last does.
    error : float
        Of the coefficients, relative to the norms of σ and σ': by how much they miss
        √n c_n = √q s_{n−1}, partial integration, which ties the values to the slopes.
    kinks : KinkExpansion or None
        Of a function with kinks.
    """

    C: Array
    S: Array
    B: Array
    square: Array
    slope_square: Array
    mixed: Array
    tail: Array
    slope_tail: Array
    natural: int
    error: float = 0.0
    kinks: KinkExpansion | None = None

    @property
    def degree(self) -> int:
        """Number of coefficients, N."""
        return self.C.shape[1]

    @cached_property
    def held(self) -> tuple[Array, Array]:
        """The norms of σ and σ' that errors of the units are relative to; see `held_to`."""
        return np.sqrt(held_to(self.square)), np.sqrt(held_to(self.slope_square))

    def cut(self) -> Expansion:
        """The first `natural` coefficients, which leave out nothing more."""
        N = self.natural
        return self if self.degree == N else replace(
            self, C=self.C[:, :N].copy(), S=self.S[:, :N].copy(), B=self.B[:, :N].copy()
        )  # fmt: skip


def expand(sigma: UnitFunction, q: Array, degree: int = 0) -> Expansion:
    """Expand σ(√q g) for each variance q (m,).

    The number of coefficients is the smallest that leaves out nothing to rounding, and at least
    `degree`, up to 1024; up to 256 if σ has kinks.
    """
    if sigma.powers:
        return _of_polynomial(sigma, q, degree)
    root = np.sqrt(np.maximum(q, 0.0))
    g, w, table = _nodes(sigma, root, degree)
    x = root[:, None] * g
    f, slope = sigma.function(x), sigma.derivative(x)
    square, slope_square = (f * f * w).sum(axis=1), (slope * slope * w).sum(axis=1)
    C, S = np.empty((len(q), 0)), np.empty((len(q), 0))
    natural = 0
    for N in DEGREES if sigma.smooth else (max(KINKED_DEGREE, degree),):
        if table is None:
            C, S = np.empty((len(q), N + 1)), np.empty((len(q), N + 1))
            project_rows(f, slope, g, w, C, S)
        else:
            new = slice(C.shape[1], N + 1)
            C = np.concatenate((C, f @ table[:, new]), axis=1)
            S = np.concatenate((S, slope @ table[:, new]), axis=1)
        slope_tail = _tail(slope_square, S[:, :N])
        small = slope_tail**2 <= TOLERANCE * np.maximum(slope_square, 1e-300)
        if natural == 0 and bool(small.all()):
            natural = N
        if natural and degree <= N:
            break
    N = C.shape[1] - 1
    inverse = np.divide(1.0, root, out=np.zeros_like(root), where=root > 1e-150)
    B = np.sqrt(np.arange(1.0, N + 1)) * S[:, 1:] * inverse[:, None]
    # q E σ''σ = E x σ'(x) σ(x) − q E σ'²
    mixed = (g * slope * f * w).sum(axis=1) * inverse - slope_square
    kinks = None
    if sigma.kinks:
        kinks = _kinks(ramps_of(sigma), x, (f, slope), (g, w, table), (C, S), inverse)
    return Expansion(
        np.ascontiguousarray(C[:, :N]), np.ascontiguousarray(S[:, :N]), B, square, slope_square,
        mixed, _tail(square, C[:, :N]), slope_tail, natural or N,
        _inconsistency(C, S, root, square, slope_square), kinks,
    )  # fmt: skip


def held_to(square: Array) -> Array:
    """The squared norms that errors of units are relative to, from their own (m,).

    A unit of which there is next to none (σ' of a short neuron whose σ is flat around 0) moves
    nothing, and rounding is all of it; it is held to `LEAST` of the largest norm.
    """
    return np.maximum(square, max(LEAST**2 * float(square.max(initial=0.0)), 1e-300))


def _of_polynomial(sigma: UnitFunction, q: Array, degree: int) -> Expansion:
    """The same of a polynomial, exactly and at any variance."""
    q, top = np.maximum(q, 0.0), len(sigma.powers) - 1
    orders = np.arange(1.0, top + 1)
    if sigma.code == HERMITE:
        scaled, series, factor = _scaled_hermite, np.eye(1, top + 1, top)[0], np.sqrt(orders)
    else:
        scaled, series, factor = _scaled_powers, np.array(sigma.powers), orders
    slopes = factor * series[1:]
    curvature = factor[:-1] * slopes[1:]
    with np.errstate(over="ignore", invalid="ignore"):  # a stage that blows up is not a number
        C, S, B = (scaled(part, q, max(top + 1, degree)) for part in (series, slopes, curvature))
        square, slope_square, mixed = (
            (left * right).sum(axis=1) for left, right in ((C, C), (S, S), (B, C))
        )
    none = np.zeros(len(q))
    return Expansion(C, S, B, square, slope_square, mixed, none, none, top + 1)


def _scaled_hermite(series: Array, q: Array, count: int) -> Array:
    """Coefficients of Σ_n c_n h_n(√q g) in h_0(g), h_1(g) and so on, (m, count).

    With γ = √q, He_n(γg) = Σ_m n!/(2^m m! (n−2m)!) γ^{n−2m} (γ² − 1)^m He_{n−2m}(g)
    (DLMF 18.18.13).
    """
    out = np.zeros((len(q), count))
    for n, c in enumerate(series):
        for m in range(n // 2 + 1 if c != 0.0 else 0):
            ways = math.sqrt(math.perm(n, 2 * m)) / (2**m * math.factorial(m))
            out[:, n - 2 * m] += c * ways * np.sqrt(q) ** (n - 2 * m) * (q - 1.0) ** m
    return out


def _scaled_powers(series: Array, q: Array, count: int) -> Array:
    """The same of Σ_n c_n (√q g)^n: no terms that cancel where q is small (DLMF 18.18.20)."""
    out = np.zeros((len(q), count))
    for n, c in enumerate(series):
        for m in range(n // 2 + 1 if c != 0.0 else 0):
            ways = math.perm(n, 2 * m) / (2**m * math.factorial(m))
            out[:, n - 2 * m] += c * ways * math.sqrt(math.factorial(n - 2 * m)) * np.sqrt(q) ** n
    return out


def _inconsistency(C: Array, S: Array, root: Array, square: Array, slope_square: Array) -> float:
    """See `Expansion.error`; whatever nodes or a derivative miss, they miss differently in both."""
    orders = np.sqrt(np.arange(1.0, C.shape[1]))
    miss = orders * C[:, 1:] - root[:, None] * S[:, :-1]
    slopes = (miss**2).sum(axis=1) / np.maximum(root**2 * held_to(slope_square), 1e-300)
    values = ((miss / orders) ** 2).sum(axis=1) / held_to(square)
    found = np.sqrt(np.maximum(slopes, values))[root > 1e-150]
    return float(found.max(initial=0.0)) if np.isfinite(found).all() else math.inf


def _nodes(sigma: UnitFunction, root: Array, degree: int) -> tuple[Array, Array, Array | None]:
    """Nodes, weights and, where all units share them, weighted polynomials."""
    breaks = sigma.breaks or sigma.kinks
    longest = float(root.max(initial=0.0))
    steep = 0.0 if math.isnan(longest) else min(longest, 1e6) / sigma.strip
    least = POLYNOMIALS[degree > KINKED_DEGREE]
    resolution = _resolution(steep, least)
    if resolution <= FINEST and not any(breaks):
        return _common_nodes(resolution, bool(breaks))
    if resolution > FINEST and (edges := _panels_of(sigma)):
        breaks, resolution = edges, 0.0
    least = least if sigma.kinks else POLYNOMIALS[1]
    return *_own_nodes(root, breaks, min(max(resolution, least), FINEST)), None


@lru_cache(maxsize=64)
def _panels_of(sigma: UnitFunction) -> tuple[float, ...]:
    """Ends of panels on which a steep function is a polynomial."""
    return sigma.edges or find_panels(sigma.function, sigma.kinks).edges


def _kinks(
    ramps: Ramps, x: Array, values: tuple[Array, Array], nodes: tuple[Array, Array, Array | None],
    coefficients: tuple[Array, Array], inverse: Array,
) -> KinkExpansion:  # fmt: skip
    """The coefficients of the ramps on the same nodes."""
    (f, slope), (g, w, table), (C, S) = values, nodes, coefficients
    ramp, step = ramps.values(x)
    N = C.shape[1] - 1
    if table is None:
        C_ramp, S_ramp = np.empty_like(C), np.empty_like(S)
        project_rows(ramp, step, g, w, C_ramp, S_ramp)
    else:
        C_ramp, S_ramp = ramp @ table[:, : N + 1], step @ table[:, : N + 1]
    B_ramp = np.sqrt(np.arange(1.0, N + 1)) * S_ramp[:, 1:] * inverse[:, None]
    tails = (
        _tail((rest * rest * w).sum(axis=1), (whole - part)[:, :N])
        for rest, whole, part in ((f - ramp, C, C_ramp), (slope - step, S, S_ramp))
    )
    C_ramp, S_ramp = (np.ascontiguousarray(part[:, :N]) for part in (C_ramp, S_ramp))
    return KinkExpansion(ramps, C_ramp, S_ramp, B_ramp, *tails)


def _tail(square: Array, coefficients: Array) -> Array:
    """Norm of what is left out: Parseval's, or the last quarter's where that is rounding."""
    squares = coefficients**2
    left = np.maximum(square - squares.sum(axis=1), 0.0)
    last = squares[:, -(squares.shape[1] // 4) :].sum(axis=1)
    return np.sqrt(np.where(left <= TOLERANCE * square, np.minimum(left, last), left))


def _resolution(steep: float, least: float) -> float:
    """Wave number that the nodes resolve: what σ has at 1e-15, and the polynomials."""
    wanted = 34.0 * steep + least
    return 2.0 ** (math.ceil(4.0 * math.log2(wanted)) / 4.0)  # few different tables


@lru_cache(maxsize=16)
def _common_nodes(resolution: float, kink_at_zero: bool) -> tuple[Array, Array, Array]:
    """Nodes, weights, and weighted polynomials (S, N + 1): equal steps, or panels that end at 0."""
    if kink_at_zero:
        panels = 2 * math.ceil(REACH * resolution / 12.0)
        g, w = panel_rule(np.linspace(-REACH, REACH, panels + 1), 12)
    else:
        count = 2 * math.ceil(REACH * resolution / (2.0 * math.pi)) + 1
        g = np.linspace(-REACH, REACH, count)
        w = np.full(count, g[1] - g[0])
    w = w * np.exp(-0.5 * g * g) / math.sqrt(2.0 * math.pi)
    table = np.empty((len(g), DEGREES[-1] + 1))
    before, now = np.zeros_like(g), np.ones_like(g)
    for n in range(table.shape[1]):
        table[:, n] = w * now
        before, now = now, (g * now - math.sqrt(n) * before) / math.sqrt(n + 1.0)
    return g, w, table


def _own_nodes(root: Array, breaks: tuple[float, ...], resolution: float) -> Rule:
    """Nodes (m, S) and weights for each unit, in panels that end where its function breaks."""
    x, weight = panel_rule(np.array([0.0, 1.0]), PANEL_NODES)
    even = np.linspace(-REACH, REACH, math.ceil(2.0 * REACH * resolution / PANEL_NODES) + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = np.nan_to_num(np.asarray(breaks) / root[:, None], posinf=REACH, neginf=-REACH)
    at = at[:, (np.abs(at) < REACH).any(axis=0)]
    every = np.broadcast_to(even, (len(root), len(even)))
    edges = np.sort(np.concatenate((every, np.clip(at, -REACH, REACH)), axis=1), axis=1)
    width = np.diff(edges, axis=1)
    g = (edges[:, :-1, None] + width[:, :, None] * x).reshape(len(root), -1)
    w = (width[:, :, None] * weight).reshape(len(root), -1)
    return g, w * np.exp(-0.5 * g * g) / math.sqrt(2.0 * math.pi)
