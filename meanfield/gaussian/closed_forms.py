"""Values and slopes of the library's activations, and closed forms of their averages.

g0 = E σ(v + sU) and its slopes g1 = E σ'(v + sU), g2 = E U σ'(v + sU), with U as in
`meanfield.gaussian.coordinate_averages`. Each takes (v, s, D) with v and s already of one shape;
None says that this D has no closed form. erf as in Saad & Solla 1995; the others are elementary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial.hermite_e import hermeval
from numpy.typing import NDArray
from scipy.special import erf, expit, ndtr

from meanfield.gaussian.coordinate_averages import (
    rectified_average,
    rectified_parts,
    sphere_characteristic,
    sphere_moment,
)
from meanfield.gaussian.rules import gaussian_density

Array = NDArray[Any]
ROOT_TWO_OVER_PI = math.sqrt(2.0 / math.pi)


class ClosedForm(NamedTuple):
    """g0 and (g1, g2) of one activation, each as a function of (v, s, D)."""

    average: Callable[[Array, Array, float], Array | None]
    slopes: Callable[[Array, Array, float], tuple[Array, Array] | None]


def erf_value(x: Array) -> Array:
    """erf(x/√2)."""
    return erf(x / np.sqrt(2.0))


def erf_slope(x: Array) -> Array:
    """Its derivative."""
    return np.sqrt(2.0 / np.pi) * np.exp(-0.5 * x * x)


def relu_value(x: Array) -> Array:
    """max(x, 0)."""
    return np.maximum(x, 0.0)


def relu_slope(x: Array) -> Array:
    """Its derivative, 0 at the kink."""
    return (x > 0).astype(np.float64)


def tanh_slope(x: Array) -> Array:
    """1 − tanh²."""
    return 1.0 - np.tanh(x) ** 2


def sigmoid_slope(x: Array) -> Array:
    """Derivative of 1/(1 + e^{-x})."""
    small = expit(-np.abs(x))
    return small * (1.0 - small)


def softplus_value(x: Array) -> Array:
    """log(1 + e^x)."""
    return np.logaddexp(0.0, x)


def gelu_value(x: Array) -> Array:
    """x Φ(x)."""
    return x * ndtr(x)


def gelu_slope(x: Array) -> Array:
    """Its derivative."""
    return ndtr(x) + x * gaussian_density(x)


def square_value(x: Array) -> Array:
    """x²."""
    return x * x


def square_slope(x: Array) -> Array:
    """2x."""
    return 2.0 * x


def _erf_average(v: Array, s: Array, D: float) -> Array | None:
    return erf(v / np.sqrt(2.0 * (1.0 + s * s))) if math.isinf(D) else None


def _erf_slopes(v: Array, s: Array, D: float) -> tuple[Array, Array] | None:
    if not math.isinf(D):
        return None
    c = 1.0 + s * s
    g1 = ROOT_TWO_OVER_PI / np.sqrt(c) * np.exp(-0.5 * v * v / c)
    return g1, -s * v / c * g1


def _gelu_average(v: Array, s: Array, D: float) -> Array | None:
    if not math.isinf(D):
        return None
    root = np.sqrt(1.0 + s * s)
    return v * ndtr(v / root) + s * s / root * gaussian_density(v / root)


def _gelu_slopes(v: Array, s: Array, D: float) -> tuple[Array, Array] | None:
    if not math.isinf(D):
        return None
    c = 1.0 + s * s
    root = np.sqrt(c)
    density = gaussian_density(v / root) / root
    return ndtr(v / root) + density * v / c, s * density * (2.0 - (v / c) ** 2 - s * s / c)


def _sine_average(v: Array, s: Array, D: float) -> Array:
    return np.sin(v) * sphere_characteristic(s, D)


def _sine_slopes(v: Array, s: Array, D: float) -> tuple[Array, Array]:
    # φ_D' = −(s/D) φ_{D+2}, and −s φ at D = ∞
    slope = -s * (sphere_characteristic(s, D) if math.isinf(D) else sphere_characteristic(s, D + 2))
    return np.cos(v) * sphere_characteristic(s, D), np.sin(v) * slope / (
        1.0 if math.isinf(D) else D
    )


ERF_FORM = ClosedForm(_erf_average, _erf_slopes)
GELU_FORM = ClosedForm(_gelu_average, _gelu_slopes)
SINE_FORM = ClosedForm(_sine_average, _sine_slopes)
RELU_FORM = ClosedForm(rectified_average, rectified_parts)


def leaky_form(slope: float) -> ClosedForm:
    """Of slope·x + (1 − slope) max(x, 0)."""

    def average(v: Array, s: Array, D: float) -> Array:
        return slope * v + (1.0 - slope) * rectified_average(v, s, D)

    def slopes(v: Array, s: Array, D: float) -> tuple[Array, Array]:
        above, moment = rectified_parts(v, s, D)
        return slope + (1.0 - slope) * above, (1.0 - slope) * moment

    return ClosedForm(average, slopes)


def hermite_value(degree: int, x: Array) -> Array:
    """He_n(x)/√n!, the probabilists' polynomial of unit Gaussian norm."""
    return hermeval(x, [0.0] * degree + [1.0 / math.sqrt(math.factorial(degree))])


def polynomial_form(coefficients: Array) -> ClosedForm:
    """Of Σ_n c_n x^n, from the moments of U."""

    def mean(powers: Array, v: Array, s: Array, D: float, shift: int) -> Array:
        """E U^shift Σ_n c_n (v + sU)^n, by the binomial theorem."""
        total = np.zeros(v.shape)
        for j in range(len(powers)):
            moment = sphere_moment(j + shift, D)
            if moment != 0.0:
                inner = [powers[n] * math.comb(n, j) for n in range(j, len(powers))]
                total += moment * s**j * np.polynomial.polynomial.polyval(v, inner)
        return total

    derivative = np.polynomial.polynomial.polyder(coefficients)

    def average(v: Array, s: Array, D: float) -> Array:
        return mean(coefficients, v, s, D, 0)

    def slopes(v: Array, s: Array, D: float) -> tuple[Array, Array]:
        return mean(derivative, v, s, D, 0), mean(derivative, v, s, D, 1)

    return ClosedForm(average, slopes)


SQUARE_FORM = polynomial_form(np.array([0.0, 0.0, 1.0]))
