"""The flow of the overlaps about the states of a run, as adjoints meet it on their way back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.fluctuations.adjoint import (
    Covector,
    LinearFlow,
    bent_by_spheres,
    onto_spheres,
    steps_along,
    term_by_scores,
    term_transposed,
)
from meanfield.dynamics.fluctuations.drift import OverlapField
from meanfield.dynamics.fluctuations.sample import StepSample

Array = NDArray[np.float64]


class Change(NamedTuple):
    """∂F/∂t halfway from the node before, and just before and after a node."""

    halfway: Covector
    before: Covector
    after: Covector


class Node(NamedTuple):
    """The ODE at an accepted step: its time, state (Q, u, a) and velocity.

    `arrival` is the velocity just before, another one where a rate jumps; `change` what rates that
    change make of it.
    """

    t: float
    y: Covector
    speed: Covector
    arrival: Covector
    change: Change | None


class Place:
    """The flow and one sample of steps about a state, at the rates of one moment.

    `slopes` are the derivatives of the γ/p term where differences take them, else None, and `share`
    is γ over the first γ, by which steps count.
    """

    def __init__(
        self, field: OverlapField, sample: StepSample, y: Covector, slopes: Array | None,
        share: float,
    ):  # fmt: skip
        self.field, self.sample, self.y, self.slopes = field, sample, y, slopes
        self.rates, self.share = field.present, share
        self.flow = LinearFlow(field, y)
        at = field.coordinates.join(y.Q, y.u @ field.basis.T, y.a)
        self.draw = sample.at(at)
        self.coarse = None if sample.coarse is None else sample.coarse.at(at)
        self.growth = np.zeros(len(y.a))
        if field.spherical:
            term = field.rate * self.draw.weight @ self.draw.b**2
            self.growth = np.diag(self.flow.drift().Q) + term

    def transposed(self, g: Covector) -> Covector:
        """Jᵀg, but for what scores say of the γ/p term."""
        self.field.set_rates(self.rates)
        free = onto_spheres(self.y, g) if self.field.spherical else g
        out = self.flow.transposed(free)
        if self.slopes is not None:
            out = out.plus(1.0, term_transposed(self.field, self.slopes, free))
        if self.field.spherical:
            out = out.plus(1.0, bent_by_spheres(g, self.growth))
        return out

    def scored(self, g: Covector) -> Covector:
        """The rest."""
        self.field.set_rates(self.rates)
        free = onto_spheres(self.y, g) if self.field.spherical else g
        return term_by_scores(self.field, self.draw, self.y, free)

    def variances(self, g: Covector) -> Array:
        """Var(g·step): of each scrambling, or of two rules, the better one first."""
        self.field.set_rates(self.rates)
        free = onto_spheres(self.y, g) if self.field.spherical else g
        h, w = steps_along(self.field, self.draw, free), self.draw.weight
        if self.coarse is not None:
            less = steps_along(self.field, self.coarse, free)
            pairs = ((h, w), (less, self.coarse.weight))
            found = np.array([weights @ (x - weights @ x) ** 2 for x, weights in pairs])
            return self.share * found / self.sample.batch
        count = np.bincount(self.sample.replicate, w)
        mean = np.bincount(self.sample.replicate, w * h) / count
        off = h - mean[self.sample.replicate]
        found = np.bincount(self.sample.replicate, w * off * off) / count
        return self.share * found / self.sample.batch


def halfway(before: Node, after: Node) -> Covector:
    """The state between two nodes, by the cubic through both and their velocities."""
    h = after.t - before.t
    mean = before.y.plus(1.0, after.y)
    bend = before.speed.plus(-1.0, after.arrival)
    return Covector(*(0.5 * x + 0.125 * h * v for x, v in zip(mean, bend, strict=True)))
