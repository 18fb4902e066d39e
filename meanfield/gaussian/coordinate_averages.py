"""Averages of a function over one random coordinate: E h(v + sU) and E U h(v + sU).

U is the first coordinate of a uniform point of S^{D-1}, or standard Gaussian at D = ∞. These are
the integrals that the mean field asks of an activation: closed forms for the families that have
them, and below them the quadrature for every other function.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, gammaln, jv, ndtr

from meanfield.gaussian.rules import Rule, gaussian_density, panel_rule, sphere_coordinate_rule

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

REACH = 8.6  # beyond, a Gaussian holds 1e-17 of its mass
MANY = 24  # dimensions from which the law of U is smooth enough at its ends for equal steps
CHUNK = 2**18  # numbers at a time: temporaries stay in cache
FEWER = 1024  # nodes from which panels of the function itself are the cheaper ones
PANEL, PANEL_NODES = 1.75, 24  # standard deviations to a panel at most, and nodes on it
LADDER = (24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096, 8192)


def expectations(
    function: Function,
    v: ArrayLike,
    s: ArrayLike,
    D: float,
    moments: tuple[int, ...] = (0,),
    *,
    strip: float,
    kinks: tuple[float, ...] = (),
    edges: tuple[float, ...] = (),
    refine: int = 1,
) -> Array:
    """E U^m h(v + sU) by quadrature, for each of `moments` a row; v and s broadcast.

    Parameters
    ----------
    function : callable
        h, elementwise.
    v, s : array_like
    D : float
        Number of dimensions of the sphere, ≥ 1, or math.inf.
    moments : tuple of int
        0 or 1 each.
    strip : float
        Distance from the real axis to which h is analytic and tame: the step follows from it.
    kinks : tuple of float
        Where h or a derivative jumps; the rule is broken there.
    edges : tuple of float
        Ends of panels on which h is a polynomial to rounding: serve where h is steep.
    refine : int
        Multiplies the number of nodes; the difference from 1 to 2 is an estimate of the error.

    Notes
    -----
    A smooth h: equal steps in U (D = ∞) or in its angle (D ≥ 24), which converge exponentially at a
    rate set by the strip; Gauss–Gegenbauer below. A kinked h: Gauss–Legendre between the kinks. A
    steep one that has panels: Gauss–Legendre on each of them.
    """
    v, s = np.broadcast_arrays(np.asarray(v, dtype=np.float64), np.asarray(s, dtype=np.float64))
    if D == 1:
        above, below = function(v + s), function(v - s)
        return 0.5 * np.array([above + (-1.0) ** m * below for m in moments])
    flat_v, flat_s = v.ravel(), s.ravel()
    out = np.empty((len(moments), len(flat_v)))
    wanted = _wanted_nodes(np.abs(flat_s) / strip, D, pieces=bool(kinks))
    rungs = np.searchsorted(LADDER, np.minimum(wanted, LADDER[-1]))
    for rung in np.unique(rungs):
        nodes = LADDER[rung] * refine
        chosen = np.flatnonzero(rungs == rung)
        if edges and LADDER[rung] > FEWER:
            at, count = (flat_v[chosen], flat_s[chosen]), PANEL_NODES * refine
            for row, m in zip(out, moments, strict=True):
                row[chosen] = _on_panels(function, *at, edges, D, count, m)
            continue
        for first in range(0, len(chosen), max(1, CHUNK // nodes)):
            part = chosen[first : first + max(1, CHUNK // nodes)]
            if kinks:
                at = flat_v[part], flat_s[part]
                for row, m in zip(out, moments, strict=True):
                    row[part] = _between_kinks(function, *at, D, kinks, nodes, m)
            else:
                U, w = coordinate_rule(D, nodes)
                values = function(flat_v[part, None] + flat_s[part, None] * U)
                # not a matrix product: its last bits depend on how many rows come along
                for row, m in zip(out, moments, strict=True):
                    row[part] = (values * (w * U**m)).sum(axis=1)
    return out.reshape(len(moments), *v.shape)


def _wanted_nodes(steep: Array, D: float, *, pieces: bool) -> Array:
    """Nodes for an error near 1e-15, for s over the width of the strip.

    Equal steps h leave an error exp(y²/2 − 2πy/h), with y the width of the strip over s (over
    s/√D): a pole there, times what the Gaussian has grown to. Rules between kinks start from what
    the density itself needs.
    """
    steep = np.nan_to_num(steep, nan=0.0, posinf=1e9)
    if D < MANY:
        return np.maximum(18.0 * steep, 64.0 if pieces else 0.0)
    y = 1.0 / np.maximum(steep if math.isinf(D) else steep / math.sqrt(D), 1e-9)
    wanted = 2.0 * REACH * (34.5 / y + 0.5 * np.minimum(y, 8.3)) / (2.0 * math.pi)
    return np.maximum(wanted, 64.0 if pieces else 0.0)


def stepping_rule(steep: float) -> Rule:
    """Equal steps over a standard Gaussian, for what is analytic up to 1/steep from the axis.

    An even number of them, for an error near 1e-15; see `expectations`.
    """
    wanted = float(_wanted_nodes(np.array([steep]), math.inf, pieces=False)[0])
    return coordinate_rule(math.inf, 2 * math.ceil(0.5 * wanted))


@lru_cache(maxsize=256)
def coordinate_rule(D: float, nodes: int) -> Rule:
    """Nodes and weights for the law of U, for smooth functions; see `expectations`."""
    if D < MANY:
        return sphere_coordinate_rule(D, min(nodes, 2048))
    low, high = _range(D)
    position = np.linspace(low, high, nodes)
    weights = _density(position, D)
    return _coordinate(position, D), weights / weights.sum()


def _range(D: float) -> tuple[float, float]:
    """Where the law of U (of its angle from the equator at finite D) has mass."""
    end = REACH if math.isinf(D) else min(0.5 * math.pi, REACH / math.sqrt(max(D - 2.0, 1.0)))
    return -end, end


def _coordinate(position: Array, D: float) -> Array:
    return position if math.isinf(D) else np.sin(position)


def _density(position: Array, D: float) -> Array:
    """Density of the position, normalised: Gaussian, or cos^{D−2} of the angle."""
    if math.isinf(D):
        return gaussian_density(position)
    log_constant = gammaln(0.5 * D) - gammaln(0.5 * (D - 1.0)) - 0.5 * math.log(math.pi)
    return math.exp(log_constant) * np.maximum(np.cos(position), 0.0) ** (D - 2.0)


@lru_cache(maxsize=32)
def _legendre(nodes: int) -> Rule:
    """On (−1, 1), in panels of at most 64 nodes."""
    panels = max(1, nodes // 64)
    return panel_rule(np.linspace(-1.0, 1.0, panels + 1), nodes // panels)


def _between_kinks(
    function: Function, v: Array, s: Array, D: float, kinks: tuple[float, ...], nodes: int, m: int
) -> Array:
    """The same for a function with kinks, by a Gauss–Legendre rule on every piece."""
    low, high = _range(D)
    edges = np.sort(_positions(kinks, v, s, D), axis=1)
    edges = np.concatenate((np.full((len(v), 1), low), edges, np.full((len(v), 1), high)), axis=1)
    return _on_pieces(function, v, s, D, edges, _legendre(nodes), m)


def _on_panels(
    function: Function, v: Array, s: Array, edges: tuple[float, ...], D: float, nodes: int, m: int
) -> Array:
    """The same on panels of the function, none longer than the law of U varies on."""
    low, high = _range(D)
    even = np.linspace(low, high, math.ceil((high - low) * REACH / (high * PANEL)) + 1)
    out = np.empty(len(v))
    rule, many = _legendre(nodes), len(edges) + len(even)
    step = max(1, CHUNK // many)
    for first in range(0, len(v), step):
        part = slice(first, first + step)
        ends = np.concatenate((np.broadcast_to(even, (len(v[part]), len(even))),
                               _positions(edges, v[part], s[part], D)), axis=1)  # fmt: skip
        out[part] = _on_pieces(function, v[part], s[part], D, np.sort(ends, axis=1), rule, m)
    return out


def _positions(points: tuple[float, ...], v: Array, s: Array, D: float) -> Array:
    """Where v + sU meets points, (m, points), within the range of U."""
    with np.errstate(divide="ignore", invalid="ignore"):
        at = (np.asarray(points) - v[:, None]) / s[:, None]
    at = np.nan_to_num(at, nan=0.0, posinf=1e300, neginf=-1e300)  # s = 0 on a kink: half each side
    if not math.isinf(D):
        at = np.arcsin(np.clip(at, -1.0, 1.0))
    return np.clip(at, *_range(D))


def _on_pieces(
    function: Function, v: Array, s: Array, D: float, edges: Array, rule: Rule, m: int
) -> Array:
    """The same by one rule between edges (m, pieces + 1) in each row."""
    x, w = rule
    total = np.zeros(len(v))
    for piece in range(edges.shape[1] - 1):
        left, width = edges[:, piece, None], np.diff(edges[:, piece : piece + 2], axis=1)
        some = np.flatnonzero(width[:, 0] > 0.0)
        if len(some):
            left, width = left[some], width[some]
            position = left + 0.5 * width * (x + 1.0)
            U = _coordinate(position, D)
            weight = 0.5 * width * w * _density(position, D) * U**m
            total[some] += (function(v[some, None] + s[some, None] * U) * weight).sum(axis=1)
    return total


def rectified_parts(v: Array, s: Array, D: float) -> tuple[Array, Array]:
    """P(v + sU > 0) and E[U; v + sU > 0]: an incomplete beta function and a power."""
    u0 = -v / np.maximum(s, 1e-100 + 1e-100 * np.abs(v))
    if math.isinf(D):
        return ndtr(-u0), gaussian_density(u0)
    if D == 1:
        above, below = v + s, v - s  # a jump counts half
        plus, minus = 0.5 * (1.0 + np.sign(above)), 0.5 * (1.0 + np.sign(below))
        return 0.5 * (plus + minus), 0.5 * (plus - minus)
    inside = np.clip(u0, -1.0, 1.0)
    # P(U > u0) = ½ I_{1-u0²}((D-1)/2, ½) on the far side; E[U; U > u0] from the density's primitive
    remaining = (1.0 - inside) * (1.0 + inside)
    tail = 0.5 * betainc(0.5 * (D - 1.0), 0.5, remaining)
    log_constant = gammaln(0.5 * D) - gammaln(0.5 * (D - 1.0)) - 0.5 * math.log(math.pi)
    moment = math.exp(log_constant) / (D - 1.0) * remaining ** (0.5 * (D - 1.0))
    return np.where(inside > 0, tail, 1.0 - tail), moment


def rectified_average(v: Array, s: Array, D: float) -> Array:
    """E (v + sU)₊ = v P(v + sU > 0) + s E[U; v + sU > 0]."""
    above, moment = rectified_parts(v, s, D)
    return v * above + s * moment


def sphere_characteristic(x: Array, D: float) -> Array:
    """E cos(x U): Γ(ν+1) (2/x)^ν J_ν(x) with ν = D/2 − 1, and exp(−x²/2) at D = ∞."""
    if math.isinf(D):
        return np.exp(-0.5 * x * x)
    if D == 1:
        return np.cos(x)
    if D <= 60:
        nu = 0.5 * D - 1.0
        safe = np.maximum(np.abs(x), 1e-3)
        bessel = np.exp(gammaln(nu + 1.0) + nu * np.log(2.0 / safe)) * jv(nu, safe)
        return np.where(np.abs(x) < 1e-3, 1.0 - x * x / (2.0 * D), bessel)
    # in many dimensions U is nearly Gaussian of variance 1/D and 8 deviations out nothing is left
    out = np.zeros_like(x)
    near = x * x < 64.0 * D
    out[near] = sum(2.0 * weight * np.cos(point * x[near]) for point, weight in _half_rule(D))
    return out


@lru_cache(maxsize=64)
def _half_rule(D: float) -> tuple[tuple[float, float], ...]:
    """Nodes U > 0 of a symmetric rule for many dimensions, and their weights."""
    U, w = sphere_coordinate_rule(D, 96)
    return tuple(zip(U[48:].tolist(), w[48:].tolist(), strict=True))


def sphere_moment(j: int, D: float) -> float:
    """E U^j: (j−1)!! / (D (D+2) … (D+j−2)) for even j, and (j−1)!! at D = ∞."""
    if j % 2:
        return 0.0
    value = 1.0
    for i in range(1, j, 2):
        value *= i if math.isinf(D) else i / (D + i - 1.0)
    return value
