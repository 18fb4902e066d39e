"""What training adds to the gradient of the risk: weight decay, and neurons held to spheres."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.rates import Rates
from meanfield.problem import Problem

Array = NDArray[np.float64]


def add_decay(
    problem: Problem | Rates,
    state: tuple[Array, Array, Array],
    velocity: tuple[Array, ...],
    *,
    first_layer: bool = True,
) -> None:
    """dw/dt gains −weight_decay w, which is u and r alike; da/dt gains −κ second_layer_decay a."""
    a, u, r = state
    out_a, out_u, out_r = velocity
    if first_layer and problem.weight_decay > 0.0:
        out_u -= problem.weight_decay * u
        out_r -= problem.weight_decay * r
    if problem.second_layer_decay > 0.0 and problem.second_layer_rate > 0.0:
        out_a -= problem.second_layer_rate * problem.second_layer_decay * a


class Spheres:
    """Neurons of fixed lengths |w|/√d = √(|u|² + r²), those of the start.

    A solver's vector may leave the spheres by its own errors: what it stands for is its projection,
    and the velocity is tangent, so that lengths hold to rounding whatever the tolerance.
    """

    def __init__(self, u: Array, r: Array):
        self.lengths = lengths(u, r)

    def stretch(self, u: Array, r: Array) -> Array:
        """Factor (n,) by which neurons lie outside their spheres."""
        return np.divide(lengths(u, r), self.lengths, out=np.ones_like(r), where=self.lengths > 0.0)

    def project(self, u: Array, r: Array) -> tuple[Array, Array]:
        """The neurons on their spheres, r ≥ 0 or not."""
        stretch = self.stretch(u, r)
        return u / stretch[:, None], r / stretch

    def tangent(self, u: Array, r: Array, out_u: Array, out_r: Array) -> None:
        """Take the radial part off a velocity, in place; (u, r) on the spheres.

        A neuron of length 0 has nowhere to go.
        """
        squares = self.lengths**2
        radial = np.einsum("ix,ix->i", u, out_u) + r * out_r
        share = np.divide(radial, squares, out=np.zeros_like(r), where=squares > 0.0)
        out_u -= share[:, None] * u
        out_r -= share * r
        out_u[squares == 0.0] = 0.0
        out_r[squares == 0.0] = 0.0


def lengths(u: Array, r: Array) -> Array:
    """√(|u|² + r²)."""
    return np.sqrt(np.einsum("ix,ix->i", u, u) + r * r)
