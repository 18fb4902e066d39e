"""Moments of σ(λ) and σ'(λ) of one unit, λ = c + r g with g ~ N(0, 1), and their Hermite series.

Coefficients are ⟨f(λ) He_l(g)⟩, He_l the Hermite polynomials of leading coefficient 1: of two units
of correlation R, Mehler's formula makes averages of products of them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from meanfield.activations import Activation
from meanfield.kernels.activations.units import LEAKY_RELU, RAMPS

Array = NDArray[np.float64]

FAR = 38.0  # standard deviations beyond which a Gaussian's tail underflows
REACH = 7.5  # of g, to which the trapezoidal rule goes
# the trapezoidal rule of steps h misses e^(−2πs/h) of a function of g with a pole at a distance s
# of the real axis, a few times that: steps are such that 2πs/h is this
MISSED = 14.0
WIDEST = 0.7  # of the steps: it holds the Gaussian times polynomials


class Response(NamedTuple):
    """Coefficients ⟨· He_l⟩, (orders, n, p), of c = σ' or σ'², of δc δσ and of δc (δσ)².

    δ is for what is left without the mean, δσ = σ − ⟨σ⟩; c itself keeps its mean, at l = 0.
    """

    own: Array
    once: Array
    twice: Array


class UnitMoments(NamedTuple):
    """⟨σ⟩ (n, p), coefficients (orders, n, p) of δσ and (δσ)², and those beside σ' and σ'²."""

    mean: Array
    value: Array
    square: Array
    slope: Response
    slope_square: Response


def unit_moments(sigma: Activation, c: Array, r: Array, orders: int, step: float) -> UnitMoments:
    """Those of units of means c (n, p) and deviations r (p,) > 0, of `orders` Hermite polynomials.

    In closed form for ReLU and leaky ReLU, else by the trapezoidal rule in g, with steps `step`.
    """
    if sigma.code in RAMPS:
        raw = _of_ramps(sigma, c, r, orders)
    else:
        raw = _by_steps(sigma, c, r, orders, step)
    mean, first = raw[0][1][0].copy(), raw[0][1]
    first[0] = 0.0
    square = raw[0][2] - 2.0 * mean * first
    square[0] -= mean * mean
    slope, slope_square = (_response(row, mean, first, square) for row in raw[1:])
    return UnitMoments(mean, first, square, slope, slope_square)


def _response(raw: list[Array], mean: Array, first: Array, square: Array) -> Response:
    """From ⟨c σ^m He_l⟩, m = 0, 1, 2, and the coefficients of δσ and (δσ)²."""
    own, once, twice = raw
    twice = twice - 2.0 * mean * once + mean * mean * own - own[0] * square
    once = once - mean * own - own[0] * first
    return Response(own, once, twice)


def step_for(sigma: Activation, r: Array) -> float:
    """The step in g that units of deviations r ask for: poles of σ(c + r g) are strip/r away."""
    reach = float(np.max(r)) * MISSED
    return WIDEST if sigma.powers else min(WIDEST, 2.0 * math.pi * sigma.strip / reach)


def _by_steps(sigma: Activation, c: Array, r: Array, orders: int, step: float) -> list[list[Array]]:
    """⟨σ'^j σ^m He_l⟩ at [j][m], each (orders, n, p), by the trapezoidal rule."""
    g = step * np.arange(-math.ceil(REACH / step), math.ceil(REACH / step) + 1)
    # rows He_n(g) times the weights, by He_{n+1} = g He_n − n He_{n−1}
    table = [np.exp(-0.5 * g * g) * step / math.sqrt(2.0 * math.pi)]
    for n in range(orders - 1):
        table.append(g * table[-1] - n * table[max(n - 1, 0)])
    rows = np.array(table)
    x = (c + g[:, None, None] * r).reshape(len(g), c.size)
    value, slope = sigma.function(x), sigma.derivative(x)
    out = []
    for weight in (np.ones_like(x), slope, slope * slope):
        products = (weight, weight * value, weight * value * value)
        out.append([(rows @ each).reshape(orders, *c.shape) for each in products])
    return out


def _of_ramps(sigma: Activation, c: Array, r: Array, orders: int) -> list[list[Array]]:
    """The same of ReLU and leaky ReLU, in closed form.

    σ'^j σ^m is λ^m above 0 and below^(j+m) λ^m under it: a sum of `above` ⟨θ(λ) λ^m He_l⟩ and of
    `whole` ⟨λ^m He_l⟩, at [m, l].
    """
    below = float(sigma.parameter) if sigma.code == LEAKY_RELU else 0.0
    x = np.clip(c / r, -FAR, FAR)
    density = np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
    above, whole = np.empty((2, 3, orders, *c.shape))
    above[0, 0], whole[0] = ndtr(x), 0.0
    whole[0, 0] = 1.0
    # m = 0, by Stein's lemma: ⟨θ(x + g) He_l(g)⟩ = dˡΦ(x)/dxˡ = (−1)^(l−1) He_{l−1}(x) Φ'(x)
    jump, before = density, np.zeros_like(density)
    for l in range(1, orders):
        above[0, l] = jump
        jump, before = -x * jump - (l - 1) * before, jump
    # ⟨λ f⟩ = c ⟨f⟩ + r² ⟨f'⟩ with f = θ λ^(m−1), and ⟨f He_l⟩ = r ⟨f' He_{l−1}⟩ with f = θ λ^m
    for m in (1, 2):
        for part in (above, whole):
            lower = part[m - 2, 0] if m == 2 else (density / r if part is above else 0.0)
            part[m, 0] = c * part[m - 1, 0] + r * r * ((m - 1) * lower if m == 2 else lower)
            part[m, 1:] = m * r * part[m - 1, :-1]
    return [
        [below ** (j + m) * whole[m] + (1.0 - below ** (j + m)) * above[m] for m in range(3)]
        for j in range(3)
    ]
