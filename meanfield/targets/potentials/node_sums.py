"""Potentials of any function, on nodes in z."""

from __future__ import annotations

import math

import numpy as np

from meanfield.activations import Activation
from meanfield.gaussian.expansions import Expansion, expand
from meanfield.gaussian.rules import coarse_share, gaussian_nodes
from meanfield.targets.base import Target
from meanfield.targets.potentials.form import TINY, Array, Potential, Values, variances

NODE_COST = 1e-7  # seconds of a neuron and a node
CHANCE = 2.0  # where a kink lies among the nodes of two levels is chance: their errors may agree


class NodeSums:
    """A product rule up to four coordinates, Sobol points beyond.

    Given z, λ is N(u·z, r²), so that every node needs the Gaussian averages g0, g1, g2 of σ.
    """

    degree = 0
    precise = False

    def __init__(self, student: Activation, target: Target):
        self.student, self.target = student, target
        self.levels: dict[int, tuple[Array, Array]] = {}

    def _nodes(self, level: int) -> tuple[Array, Array]:
        """Points z (S, rank), and weights times f* there."""
        if level not in self.levels:
            z, w = gaussian_nodes(self.target.rank, smooth=self.target.smooth, level=level)
            self.levels[level] = z, w * self.target(z)
        return self.levels[level]

    @property
    def cost(self) -> float:
        """See `Potential`."""
        return NODE_COST * len(self._nodes(0)[0])

    @property
    def other(self) -> Potential | None:
        """See `Potential`: more nodes are no other way."""
        return None

    def __call__(self, u: Array, r: Array, students: Expansion | None = None) -> Values:
        """See `Potential`."""
        return self._value(u, r, 0), *self._slopes(u, r, 0)

    def value(self, u: Array, r: Array, students: Expansion | None = None) -> Array:
        """See `Potential`."""
        return self._value(u, r, 0)

    def slopes(self, u: Array, r: Array, students: Expansion | None = None) -> tuple[Array, Array]:
        """See `Potential`."""
        return self._slopes(u, r, 0)

    def miss(
        self, u: Array, r: Array, students: Expansion | None = None, found: Values | None = None
    ) -> Values:
        """See `Potential`: change on more nodes, and what averages of σ miss."""
        units = expand(self.student, variances(u, r))
        share = CHANCE * coarse_share(self.target.rank)
        norm = math.sqrt(self.target.second_moment())
        value = share * np.abs(self._value(u, r, 1) - self._value(u, r, 0))
        coarse, fine = self._slopes(u, r, 0), self._slopes(u, r, 1)
        # of a slope in r only what it adds to those in u is told: it vanishes with r
        slope_u = share * np.abs(fine[0] - coarse[0])
        own = units.error * norm * np.sqrt(np.maximum(units.slope_square, TINY))
        known = units.error * norm * np.sqrt(units.square)
        return np.maximum(value, known), np.maximum(slope_u, own[:, None]), own

    def _slopes(self, u: Array, r: Array, level: int) -> tuple[Array, Array]:
        """E f* σ'(λ) z, and E f* G σ'(λ) with G the coordinate across."""
        z, weighted = self._nodes(level)
        out_u, out_r = np.empty_like(u), np.empty_like(r)
        for i in range(len(u)):
            g1, g2 = self.student.average_slopes(u[i] @ z.T, np.full(len(z), r[i]), math.inf)
            out_u[i], out_r[i] = (weighted * g1) @ z, weighted @ g2
        return out_u, out_r

    def _value(self, u: Array, r: Array, level: int) -> Array:
        z, weighted = self._nodes(level)
        averages = (
            self.student.average(u[i] @ z.T, np.full(len(z), r[i]), math.inf) for i in range(len(u))
        )
        return np.array([float(weighted @ average) for average in averages])
