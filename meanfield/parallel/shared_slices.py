"""The field of neurons that lie on several ranks: each spreads its own, all see the sum."""

from __future__ import annotations

import math

import numpy as np

from meanfield.fields.base import Array, sample_neurons
from meanfield.fields.slices.field import PART, SliceField
from meanfield.fields.slices.layouts import FURTHEST, Layout
from meanfield.parallel.ranks import Ranks
from meanfield.problem import Problem
from meanfield.states import ParticleMeasure

ALONE = Ranks()


class SharedSlices(SliceField):
    """`SliceField` of which this rank holds a share of the neurons.

    Moments on the mesh are linear in the neurons, so one sum over the ranks completes them; all
    that follows on nodes and mesh is done by every rank for itself.

    Parameters
    ----------
    problem : Problem
    ranks : Ranks
    share : float
        Of all neurons, those on this rank.
    """

    def __init__(self, problem: Problem, ranks: Ranks, share: float):
        super().__init__(problem)
        self.ranks, self.weight = ranks, share

    def _cover(self, u: Array, r: Array) -> bool:
        """For the neurons of all ranks: two stand for them, the furthest and the longest."""
        furthest, longest = self.ranks.largest(*_reach(u, r))
        ends = np.zeros((2, self.k))
        ends[0, 0] = furthest
        return super()._cover(ends, np.array([0.0, longest]))

    def moments(self, charge: Array, u: Array, r: Array) -> tuple[Layout, Array]:
        """See `SliceField`; one reduction, which also says whether anyone has left the mesh."""
        for _ in range(2):
            if self.layout is not None:
                shape = self.layout.nodes.target.shape[1], self.layout.mesh.size
                mine = self.layout.mesh.spread(charge, u, r)
                message = np.zeros(shape[0] * shape[1] + 1)
                if mine is None:
                    message[-1] = 1.0
                else:
                    message[:-1] = self.weight * mine.ravel()
                message = self.ranks.total(message)
                if message[-1] == 0.0:
                    return self.layout, message[:-1].reshape(shape)
            if not max(self.ranks.largest(*_reach(u, r))) < FURTHEST:
                break
            self.layout = None
            self._cover(u, r)
        raise FloatingPointError("neurons have left every mesh")

    def error_estimate(self, measure: ParticleMeasure) -> float:
        """See `SliceField`: the velocities of all, held against pair sums over a part of them.

        The part is gathered from all ranks, and each does the sums for itself.
        """
        a, u, r = measure.arrays()
        out = np.empty_like(a), np.empty_like(u), np.empty_like(r)
        self.velocity(a, u, r, *out)
        squares = np.array([self.weight * float((v**2).sum()) / len(a) for v in out[1:]])
        sizes = np.sqrt(self.ranks.total(squares))
        count = math.ceil(PART * self.weight)
        part = np.unique(
            np.concatenate(
                (sample_neurons(u, r, a), np.linspace(0, len(a) - 1, count).astype(np.int64))
            )
        )
        everywhere = self.ranks.together(a[part], u[part], r[part])
        ranks, weight, self.ranks, self.weight = self.ranks, self.weight, ALONE, 1.0
        try:
            a, u, r = everywhere
            out = np.empty_like(a), np.empty_like(u), np.empty_like(r)
            self._velocity(a, a, u, r, 1.0, out)
            self.worst = self._deviation(a, a, u, r, out, float(sizes[0]), float(sizes[1]))
        finally:
            self.ranks, self.weight = ranks, weight
        return self.worst


def _reach(u: Array, r: Array) -> tuple[float, float]:
    """How far the neurons of this rank reach."""
    return math.sqrt(float(np.einsum("ij,ij->i", u, u).max())), float(np.abs(r).max())
