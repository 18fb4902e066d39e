"""The band of the risk alone, by an adjoint: no p² × p² covariance, so that wide networks have one.

With g' = −Jᵀg backwards from g(T) = ∂R/∂y, the risk at T has the variance

    η ∫₀ᵀ Var(g·step) ds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.fluctuations.adjoint import (
    Covector,
    LinearFlow,
    bent_by_spheres,
    onto_spheres,
    steps_along,
    term_by_differences,
    term_by_scores,
    term_transposed,
)
from meanfield.dynamics.fluctuations.drift import OverlapField
from meanfield.dynamics.fluctuations.sample import StepSample
from meanfield.dynamics.overlaps.sobol import REPLICATES

Array = NDArray[np.float64]

# of the slopes of a Runge–Kutta step: its own interpolant in the middle
HALFWAY = (5.0 / 24.0, 1.0 / 6.0, 1.0 / 6.0, -1.0 / 24.0)


class Node(NamedTuple):
    """The ODE at an accepted step: its time, state (Q, u, a) and velocity."""

    t: float
    y: Covector
    speed: Covector


class Spread(NamedTuple):
    """Of the risk at the saved times: variance over η (T,), its error, and that of the adjoint."""

    variance: Array
    error: Array
    adjoint_error: float


class Place:
    """The flow and one sample of steps about a state.

    `slopes` are the derivatives of the γ/p term where differences take them, else None.
    """

    def __init__(self, field: OverlapField, sample: StepSample, y: Covector, slopes: Array | None):
        self.field, self.sample, self.y, self.slopes = field, sample, y, slopes
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
        free = onto_spheres(self.y, g) if self.field.spherical else g
        out = self.flow.transposed(free)
        if self.slopes is not None:
            out = out.plus(1.0, term_transposed(self.field, self.slopes, free))
        if self.field.spherical:
            out = out.plus(1.0, bent_by_spheres(g, self.growth))
        return out

    def scored(self, g: Covector) -> Covector:
        """The rest."""
        free = onto_spheres(self.y, g) if self.field.spherical else g
        return term_by_scores(self.field, self.draw, self.y, free)

    def variances(self, g: Covector) -> Array:
        """Var(g·step): of each scrambling, or of two rules, the better one first."""
        free = onto_spheres(self.y, g) if self.field.spherical else g
        h, w = steps_along(self.field, self.draw, free), self.draw.weight
        if self.coarse is not None:
            less = steps_along(self.field, self.coarse, free)
            pairs = ((h, w), (less, self.coarse.weight))
            found = np.array([weights @ (x - weights @ x) ** 2 for x, weights in pairs])
            return found / self.sample.batch
        count = np.bincount(self.sample.replicate, w)
        mean = np.bincount(self.sample.replicate, w * h) / count
        off = h - mean[self.sample.replicate]
        return np.bincount(self.sample.replicate, w * off * off) / count / self.sample.batch


class Backward:
    """Adjoints of the risk at several times, moved backwards together.

    Parameters
    ----------
    field : OverlapField
    batch_size : int
    samples, most, seed
        Of the samples, a fresh one at every place: what each of them misses averages out.
    differences : bool
        Whether the γ/p term is differentiated by differences, or by scores of the sample.
    """

    def __init__(
        self, field: OverlapField, batch_size: int, samples: int | None, most: int, seed: int,
        differences: bool,
    ):  # fmt: skip
        self.field, self.differences, self.seed = field, differences, seed
        self.number = 0

        def draw(seed: int) -> StepSample:
            return StepSample(field, batch_size, samples, most, seed)

        self.draw, self.sample = draw, draw(seed)
        self.ruled = self.sample.coarse is not None

    def spread(self, nodes: Sequence[Node], saved: Array) -> Spread:
        """The variance of the risk at the saved times, all of them times of nodes."""
        parts = np.zeros((len(saved), 2 if self.ruled else REPLICATES))
        alive: dict[int, _Aim] = {}
        right, worst = self.place(nodes[-1].y), 0.0
        for n in range(len(nodes) - 1, -1, -1):
            node = nodes[n]
            for index in np.flatnonzero(saved == node.t).tolist():
                g = right.flow.gradient()
                alive[index] = _Aim(g, right.variances(g), g.dot(node.speed))
            if n == 0:
                break
            before, h = nodes[n - 1], node.t - nodes[n - 1].t
            middle, left = self.place(halfway(before, node)), self.place(before.y)
            for index, aim in alive.items():
                alive[index], gained = self._move((right, middle, left), h, aim)
                parts[index] += gained
                worst = max(worst, alive[index].off(before.speed))
            right = left
        return self._gathered(parts, worst)

    def place(self, y: Covector) -> Place:
        """The flow about a state, with a sample of its own."""
        if not self.ruled:
            self.number += 1
            own = np.random.SeedSequence((self.seed, self.number)).generate_state(1)[0]
            self.sample = self.draw(int(own))
        slopes = term_by_differences(self.field, y) if self.differences else None
        return Place(self.field, self.sample, y, slopes)

    def _move(
        self, places: tuple[Place, Place, Place], h: float, aim: _Aim
    ) -> tuple[_Aim, Array]:  # fmt: skip
        """One step backwards of length h (Runge and Kutta, fourth order), and ∫ Var(g·step)."""
        right, middle, left = places
        g = aim.g
        # scores are noisy: half of what they say before the step, half after
        if not self.differences:
            g = g.plus(0.5 * h, right.scored(g))
        k1 = right.transposed(g)
        k2 = middle.transposed(g.plus(0.5 * h, k1))
        k3 = middle.transposed(g.plus(0.5 * h, k2))
        k4 = left.transposed(g.plus(h, k3))
        inside, end = g, g
        for k, share, whole in zip((k1, k2, k3, k4), HALFWAY, (1, 2, 2, 1), strict=True):
            inside, end = inside.plus(share * h, k), end.plus(whole * h / 6.0, k)
        if not self.differences:
            end = end.plus(0.5 * h, left.scored(end))
        last = left.variances(end)
        gained = h / 6.0 * (aim.variances + 4.0 * middle.variances(inside) + last)
        return _Aim(end, last, aim.rate), gained

    def _gathered(self, parts: Array, worst: float) -> Spread:
        if self.ruled:
            return Spread(parts[:, 0], np.abs(parts[:, 0] - parts[:, 1]), worst)
        mean = parts.mean(axis=1)
        squares = ((parts - mean[:, None]) ** 2).sum(axis=1)
        return Spread(mean, 2.0 * np.sqrt(squares / (REPLICATES * (REPLICATES - 1))), worst)


class _Aim(NamedTuple):
    """An adjoint on its way: g, Var(g·step), and g·F, which stays what it was at its end."""

    g: Covector
    variances: Array
    rate: float

    def off(self, speed: Covector) -> float:
        """By how much g·F has changed, relative to its factors."""
        size = math.sqrt(self.g.dot(self.g) * speed.dot(speed))
        return abs(self.g.dot(speed) - self.rate) / size if size > 0.0 else 0.0


def halfway(before: Node, after: Node) -> Covector:
    """The state between two nodes, by the cubic through both and their velocities."""
    h = after.t - before.t
    mean = before.y.plus(1.0, after.y)
    bend = before.speed.plus(-1.0, after.speed)
    return Covector(*(0.5 * x + 0.125 * h * v for x, v in zip(mean, bend, strict=True)))
