"""By how much velocities from slices are off: pairs, another layout, and nodes for each neuron."""

from __future__ import annotations

import math

import numpy as np

from meanfield.fields.base import Array, sample_neurons
from meanfield.fields.pairs.closed import PairField
from meanfield.fields.slices.layouts import NARROW, Layout, lay_out
from meanfield.fields.slices.meshes import Out
from meanfield.problem import Problem
from meanfield.targets import potential_of
from meanfield.targets.potentials.base import Values

# a level takes at least a factor of five off the error: this much of what a coarser one is off by
COARSER = 0.2
# of what another layout changes: poles near the axis and kinks make errors fall slowly
MARGIN, NARROW_MARGIN, KINKED_MARGIN = 1.0, 2.0, 4.0
NEGLIGIBLE = 1e-3  # a component this far below the other is measured against the other


class Deviation:
    """By how much velocities from layouts of one problem are off.

    Where pairs are not closed, a layout is held to another, which is kept: a finer one is the
    next to serve; and so is the target's part, computed by other means.
    """

    def __init__(self, problem: Problem):
        self.problem, self.exact = problem, PairField.of(problem)
        self.other: tuple[Layout, int, Layout | None] | None = None  # of a layout: level, and which
        potential = potential_of(problem.target, problem.student)
        self.potential = potential.other if self.exact is None else None
        self.seen: tuple[Array, Array, Values] | None = None
        self.margin = NARROW_MARGIN if problem.student.strip < NARROW else MARGIN
        if not (problem.student.smooth and problem.target.smooth):
            self.margin = KINKED_MARGIN

    def largest(
        self, layout: Layout | None, level: int, still: bool,
        charge: Array, a: Array, u: Array, r: Array, out: Out, size_u: float, size_r: float,
    ) -> float:  # fmt: skip
        """Largest miss of velocities `out`, over the sizes given; of a's they are those at κ = 1.

        Those are of a layout at a level, of neurons that stand `still` or not.
        """
        greater = max(size_u, size_r) or 1.0
        scale = (
            math.sqrt(self.problem.target.second_moment()) or 1.0,
            max(size_u, NEGLIGIBLE * greater),
            max(size_r, NEGLIGIBLE * greater),
        )
        if self.exact is not None:
            self.exact.plan(float(np.abs(r).max()))
            return _largest([miss_against_pairs(self.exact, charge, a, u, r, out)], scale)
        if layout is None:
            return math.inf
        misses = [
            self._miss_against_layout(layout, level, still, charge, a, u, r, out),
            self._miss_of_target(layout, a, u, r),
        ]
        return _largest(misses, scale)

    def layout_at(self, level: int, reach: tuple[float, float]) -> Layout | None:
        """The other layout, if it is one of that level and reach."""
        if self.other is not None:
            _, its_level, layout = self.other
            if layout is not None and (its_level, layout.reach) == (level, reach):
                return layout
        return None

    def _miss_against_layout(
        self, layout: Layout, level: int, still: bool,
        charge: Array, a: Array, u: Array, r: Array, out: Out,
    ) -> Out:  # fmt: skip
        """Distance of all velocities from those of a finer layout, or of a coarser if none fits."""
        if self.other is None or self.other[0] is not layout:
            self.other = layout, *self._another(layout, level, still)
        _, its_level, other = self.other
        moments = None if other is None else other.mesh.spread(charge, u, r)
        if other is None or moments is None:
            return np.full_like(a, math.inf), np.full_like(u, math.inf), np.full_like(r, math.inf)
        found = np.empty_like(a), np.empty_like(u), np.empty_like(r)
        other.velocity(other.residual(moments), a, u, r, 1.0, found)
        margin = self.margin * (COARSER if its_level < level and still else 1.0)
        miss_a, miss_u, miss_r = (
            margin * (mine - theirs) for mine, theirs in zip(out, found, strict=True)
        )
        return miss_a, miss_u, miss_r

    def _another(self, layout: Layout, level: int, still: bool) -> tuple[int, Layout | None]:
        """A finer layout or, for less, a coarser one, whose error is the larger; and its level."""
        levels = level + 1, level - 1
        for its_level in reversed(levels) if still else levels:
            other = lay_out(self.problem, *layout.reach, its_level)
            if other is not None:
                return its_level, other
        return level, None

    def _miss_of_target(self, layout: Layout, a: Array, u: Array, r: Array) -> Out:
        """Distance of the target's part in some velocities from quadrature made for each neuron.

        Of a third of the sample: it is dear, and nodes that do not hold the target miss it at all.
        """
        chosen = sample_neurons(u, r, a)[::3]
        own, u, r = a[chosen], u[chosen], r[chosen]
        found = np.empty_like(own), np.empty_like(u), np.empty_like(r)
        if self.potential is None:
            return np.zeros_like(own), np.zeros_like(u), np.zeros_like(r)
        layout.velocity(layout.nodes.target, own, u, r, 1.0, found)
        if self.seen is None or not all(map(np.array_equal, self.seen[:2], (u, r))):
            self.seen = u, r, self.potential(u, r)
        value, slope_u, slope_r = self.seen[2]
        return found[0] - value, found[1] - own[:, None] * slope_u, found[2] - own * slope_r


def miss_against_pairs(
    exact: PairField, charge: Array, a: Array, u: Array, r: Array, out: Out
) -> Out:
    """Distance of some velocities from pairs in closed form, plus what those may err by."""
    chosen = sample_neurons(u, r, a)
    own, some = a[chosen], (u[chosen], r[chosen])
    value = exact.values(*some, charge, u, r)
    slope_u, slope_r = exact.slopes(*some, charge, u, r)
    found = value, own[:, None] * slope_u, own * slope_r
    off = exact.target_part.miss(*some)
    scaled = off[0], own[:, None] * off[1], own * off[2]
    miss_a, miss_u, miss_r = (
        np.abs(mine[chosen] - theirs) + np.abs(unknown)
        for mine, theirs, unknown in zip(out, found, scaled, strict=True)
    )
    return miss_a, miss_u, miss_r


def _largest(misses: list[Out], scale: tuple[float, float, float]) -> float:
    """Largest of all misses of a, u, r, each over its scale."""
    return max(
        float(np.sqrt((miss.reshape(len(miss), -1) ** 2).sum(axis=1).max())) / size
        for miss_of in misses
        for miss, size in zip(miss_of, scale, strict=True)
    )
