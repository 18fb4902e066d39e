"""By how much velocities from slices are off: pairs, another layout, and nodes for each neuron."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from meanfield.fields.base import Array, sample_neurons
from meanfield.fields.pairs.closed import PairField
from meanfield.fields.slices.layouts import Layout, lay_out
from meanfield.fields.slices.meshes import Out

if TYPE_CHECKING:
    from meanfield.fields.slices.field import SliceField

# a level takes at least a factor of five off the error: this much of what a coarser one is off by
COARSER = 0.2
NEGLIGIBLE = 1e-3  # a component this far below the other is measured against the other


def deviation(
    field: SliceField,
    charge: Array,
    a: Array,
    u: Array,
    r: Array,
    out: Out,
    size_u: float,
    size_r: float,
) -> float:
    """Largest miss of velocities, over the sizes given; of a's they are those at κ = 1."""
    largest = max(size_u, size_r) or 1.0
    scale = (
        math.sqrt(field.problem.target.second_moment()) or 1.0,
        max(size_u, NEGLIGIBLE * largest),
        max(size_r, NEGLIGIBLE * largest),
    )
    if field.exact is not None:
        field.exact.plan(float(np.abs(r).max()))
        return _largest([miss_against_pairs(field.exact, charge, a, u, r, out)], scale)
    return _largest(
        [miss_against_layout(field, charge, a, u, r, out), miss_of_target(field, a, u, r)], scale
    )


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


def miss_against_layout(
    field: SliceField, charge: Array, a: Array, u: Array, r: Array, out: Out
) -> Out:
    """Distance of all velocities from those of a finer layout, or of a coarser if none fits."""
    layout = field.layout
    none = np.full_like(a, math.inf), np.full_like(u, math.inf), np.full_like(r, math.inf)
    if layout is None:
        return none
    if field.other is None or field.other[0] is not layout:
        field.other = layout, *_another(field, layout)
    other = field.other[2]
    moments = None if other is None else other.mesh.spread(charge, u, r)
    if other is None or moments is None:
        return none
    found = np.empty_like(a), np.empty_like(u), np.empty_like(r)
    other.velocity(other.residual(moments), a, u, r, 1.0, found)
    margin = field.margin * (COARSER if field.other[1] < field.level and field.still else 1.0)
    miss_a, miss_u, miss_r = (
        margin * (mine - theirs) for mine, theirs in zip(out, found, strict=True)
    )
    return miss_a, miss_u, miss_r


def _another(field: SliceField, layout: Layout) -> tuple[int, Layout | None]:
    """A finer layout or, for less, a coarser one, whose error is the larger; and its level."""
    levels = field.level + 1, field.level - 1
    for level in reversed(levels) if field.still else levels:
        other = lay_out(field.problem, *layout.reach, level)
        if other is not None:
            return level, other
    return field.level, None


def miss_of_target(field: SliceField, a: Array, u: Array, r: Array) -> Out:
    """Distance of the target's part in some velocities from quadrature made for each neuron.

    Of a third of the sample: it is dear, and nodes that do not hold the target miss it at all.
    """
    chosen = sample_neurons(u, r, a)[::3]
    own, u, r = a[chosen], u[chosen], r[chosen]
    found = np.empty_like(own), np.empty_like(u), np.empty_like(r)
    layout = field.layout
    if layout is None or field.others is None:
        return np.zeros_like(own), np.zeros_like(u), np.zeros_like(r)
    layout.velocity(layout.nodes.target, own, u, r, 1.0, found)
    value, slope_u, slope_r = field.potential_at(u, r)
    return found[0] - value, found[1] - own[:, None] * slope_u, found[2] - own * slope_r


def _largest(misses: list[Out], scale: tuple[float, float, float]) -> float:
    """Largest of all misses of a, u, r, each over its scale."""
    return max(
        float(np.sqrt((miss.reshape(len(miss), -1) ** 2).sum(axis=1).max())) / size
        for miss_of in misses
        for miss, size in zip(miss_of, scale, strict=True)
    )
