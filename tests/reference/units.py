"""Functions of one number that the slow twins integrate: value, slope, and where they are rough."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.hermite_e import herme2poly
from scipy.special import erf, expit, ndtr

ROOT_TWO_OVER_PI = math.sqrt(2.0 / math.pi)


@dataclass(frozen=True)
class Unit:
    """A function f, with f' and the places on the line where quadratures must look closely.

    `centres` are kinks, jumps and steep places; `width` is the scale on which f varies on either
    side of them; `wave` the longest panel that resolves f anywhere (an oscillation). A `smooth`
    one has no kinks. `name` is the library's, or None for a function of one's own. `pieces` are
    (c0, c1, ((κ, J), ...)) of a piecewise linear function c0 + c1 x + Σ J (x − κ)₊.
    """

    label: str
    value: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]
    centres: tuple[float, ...] = (0.0,)
    width: float = 1.0
    wave: float = math.inf
    smooth: bool = True
    name: str | None = None
    pieces: tuple | None = None

    @property
    def kinks(self) -> tuple[float, ...]:
        """The centres of a function that is not smooth."""
        return () if self.smooth else self.centres

    def scaled(self, factor: float) -> Unit:
        """x ↦ f(factor·x), for a factor > 0."""
        return Unit(
            f"{self.label}({factor:g}x)",
            lambda x: self.value(factor * x), lambda x: factor * self.slope(factor * x),
            tuple(c / factor for c in self.centres), self.width / factor, self.wave / factor,
            self.smooth,
        )  # fmt: skip


def _polynomial(label, powers, name=None):
    derivative = [n * c for n, c in enumerate(powers)][1:]
    return Unit(
        label, lambda x: _horner(powers, x), lambda x: _horner(derivative, x), (), 1.0, name=name
    )


def _horner(powers, x):
    total = np.zeros_like(x)
    for c in reversed(powers):
        total = total * x + c
    return total


def _hermite(n):
    powers = [float(c) for c in herme2poly([0.0] * n + [1.0]) / math.sqrt(math.factorial(n))]
    return _polynomial(f"hermite{n}", powers, f"hermite{n}")


def _leaky(slope, name):
    return Unit(
        name, lambda x: np.where(x > 0, x, slope * x), lambda x: np.where(x > 0, 1.0, slope),
        smooth=False, name=name, pieces=(0.0, slope, ((0.0, 1.0 - slope),)),
    )  # fmt: skip


def _gaussian_density(x):
    return np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


NAMED = {
    unit.label: unit
    for unit in (
        Unit(
            "erf", lambda x: erf(x / math.sqrt(2.0)),
            lambda x: ROOT_TWO_OVER_PI * np.exp(-0.5 * x * x), name="erf",
        ),
        _leaky(0.0, "relu"), _leaky(0.01, "leaky_relu"), _leaky(0.2, "leaky_relu(0.2)"),
        _polynomial("square", (0.0, 0.0, 1.0), "square"),
        Unit("tanh", np.tanh, lambda x: 1.0 / np.cosh(np.clip(x, -300, 300)) ** 2, name="tanh"),
        Unit("sigmoid", expit, lambda x: expit(x) * expit(-x), name="sigmoid"),
        Unit("softplus", lambda x: np.logaddexp(0.0, x), expit, name="softplus"),
        Unit(
            "gelu", lambda x: x * ndtr(x), lambda x: ndtr(x) + x * _gaussian_density(x),
            name="gelu",
        ),
        Unit("sine", np.sin, np.cos, (), wave=2.0, name="sine"),
        *(_hermite(n) for n in (1, 2, 3, 4, 6)),
    )
}  # fmt: skip

SMOOTH = {
    unit.label: unit
    for unit in (
        Unit("swish", lambda x: x * expit(x), lambda x: expit(x) * (1.0 + x * expit(-x))),
        Unit("arctan", np.arctan, lambda x: 1.0 / (1.0 + x * x)),
        Unit("bump", lambda x: np.exp(-x * x), lambda x: -2.0 * x * np.exp(-x * x), width=0.5),
        Unit("root", lambda x: np.sqrt(1.0 + x * x), lambda x: x / np.sqrt(1.0 + x * x)),
        Unit("wave", lambda x: np.sin(4.0 * x), lambda x: 4.0 * np.cos(4.0 * x), (), wave=0.5),
        Unit(
            "steps", lambda x: np.tanh(4.0 * (x - 1.0)) + np.tanh(4.0 * (x + 0.5)),
            lambda x: 4.0 / np.cosh(np.clip(4.0 * (x - 1.0), -300, 300)) ** 2
            + 4.0 / np.cosh(np.clip(4.0 * (x + 0.5), -300, 300)) ** 2,
            (-0.5, 1.0), 0.25,
        ),
        Unit(
            "steep", lambda x: np.tanh(20.0 * x),
            lambda x: 20.0 / np.cosh(np.clip(20.0 * x, -300, 300)) ** 2, width=0.05,
        ),
        Unit(
            "heavy", lambda x: 6.0 * np.logaddexp(0.0, x), lambda x: 6.0 * expit(x),
        ),
    )
}  # fmt: skip

KINKED = {
    unit.label: unit
    for unit in (
        Unit(
            "ramp", lambda x: np.maximum(x, 0.0), lambda x: (x > 0) * 1.0, smooth=False,
            pieces=(0.0, 0.0, ((0.0, 1.0),)),
        ),
        Unit(
            "clip", lambda x: np.clip(x, -1.0, 1.0), lambda x: (np.abs(x) < 1.0) * 1.0,
            (-1.0, 1.0), smooth=False, pieces=(-1.0, 0.0, ((-1.0, 1.0), (1.0, -1.0))),
        ),
        Unit("abs", np.abs, np.sign, smooth=False, pieces=(0.0, -1.0, ((0.0, 2.0),))),
        Unit(
            "elu", lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0.0)) * 0.5),
            lambda x: np.where(x > 0, 1.0, 0.5 * np.exp(np.minimum(x, 0.0))), smooth=False,
        ),
        Unit(
            "shrink", lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.6, 0.0),
            lambda x: (np.abs(x) > 0.6) * 1.0, (-0.6, 0.6), smooth=False,
            pieces=(0.6, 1.0, ((-0.6, -1.0), (0.6, 1.0))),
        ),
        Unit(
            "folded", lambda x: np.abs(np.tanh(x)),
            lambda x: np.sign(x) / np.cosh(np.clip(x, -300, 300)) ** 2, smooth=False,
        ),
        Unit(
            "hat", lambda x: np.maximum(1.0 - np.abs(x - 0.3), 0.0),
            lambda x: -np.sign(x - 0.3) * (np.abs(x - 0.3) < 1.0),
            (-0.7, 0.3, 1.3), smooth=False,
            pieces=(0.0, 0.0, ((-0.7, 1.0), (0.3, -2.0), (1.3, 1.0))),
        ),
        Unit(
            "hardswish", lambda x: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0),
            lambda x: np.where(x > 3.0, 1.0, np.where(x < -3.0, 0.0, x / 3.0 + 0.5)),
            (-3.0, 3.0), smooth=False,
        ),
    )
}  # fmt: skip

# of a target alone, whose function may jump; their slopes are never asked for
JUMPS = {
    unit.label: unit
    for unit in (
        Unit("sign", np.sign, np.zeros_like, smooth=False),
        Unit("step", lambda x: (x > 0.4) * 1.0, np.zeros_like, (0.4,), smooth=False),
        Unit("half square", lambda x: (x > 0) * x * x, np.zeros_like, smooth=False),
    )
}
