"""How an evaluator's error is stated: at sample neurons, over the size of what it computes.

The largest of these: the error of du/dt at a neuron over the root mean square of du/dt, of dr/dt
over that of dr/dt, of da/dt over that of da/dt or κ √(E f*²), of the risk over itself or ½ E f*²,
whichever of the two is larger. Sizes are those of the very state that is looked at, so that an
error that stays while velocities shrink is seen to grow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from meanfield.fields.base import Array, root_mean_square

NEGLIGIBLE = 1e-3  # a component this far below the other is measured against the other
CANCELLED, TINY = 1e-6, 1e-300
UNIT = float(np.finfo(np.float64).eps)


class Velocities(NamedTuple):
    """da/dt (n,), du/dt (n, k), dr/dt (n,), or what they are off by."""

    a: Array
    u: Array
    r: Array

    @classmethod
    def like(cls, a: Array, u: Array, r: Array) -> Velocities:
        """Room for the velocities of neurons; da/dt is zero until someone writes it."""
        return cls(np.zeros_like(a), np.empty_like(u), np.empty_like(r))

    def of(self, chosen: Array) -> Velocities:
        """Those of some neurons."""
        return Velocities(*(part[chosen] for part in self))

    def minus(self, other: Velocities) -> Velocities:
        """The difference."""
        return Velocities(*(x - y for x, y in zip(self, other, strict=True)))


def relative_error(
    miss: Velocities, found: Velocities, a: Array, mass: Array | None, energy: float, rate: float,
    risk: tuple[float, float] = (0.0, 0.0), earlier: Sequence[float] | Array = (0.0, 0.0),
) -> float:  # fmt: skip
    """Largest miss at sample neurons, of u, r, a and the risk apart: none hides another.

    `found` are the velocities of all neurons, `energy` is E f*²: a velocity that vanishes by
    symmetry is measured against what cancels in it, √(E f*²) times the root mean square of a.
    Errors make a velocity that vanishes seem larger: their squares are taken off, so that what is
    all error is not taken for a size. `risk` is what it is off by, and itself. `earlier` are sizes
    of du/dt and dr/dt that count where they are larger than those found.
    """
    if not all(np.isfinite(part).all() for part in (*miss, *found, risk[0])):
        return math.inf
    error_a, *errors = (root_mean_square(part, None) for part in miss)
    size_u, size_r = np.maximum(sizes(found, a, mass, energy, errors), earlier).tolist()
    size_a = max(_without(found.a, error_a, mass), rate * math.sqrt(max(energy, 0.0)), TINY)
    return max(
        float(np.sqrt((miss.u**2).sum(axis=1).max())) / size_u,
        float(np.abs(miss.r).max()) / size_r,
        float(np.abs(miss.a).max()) / size_a,
        risk[0] / max(0.5 * energy, risk[1], TINY),
    )


def sizes(
    found: Velocities, a: Array, mass: Array | None, energy: float,
    errors: Sequence[float] = (0.0, 0.0),
) -> tuple[float, float]:  # fmt: skip
    """Root mean square of du/dt and dr/dt, less what errors of a size add; see `relative_error`.

    Neither is taken as nothing beside the other, nor is one that vanishes by symmetry.
    """
    size_u, size_r = (
        _without(part, error, mass) for part, error in zip(found[1:], errors, strict=True)
    )
    cancelled = CANCELLED * math.sqrt(max(energy, 0.0)) * root_mean_square(a, mass)
    least = max(NEGLIGIBLE * max(size_u, size_r), cancelled, TINY)
    return max(size_u, least), max(size_r, least)


def _without(values: Array, error: float, mass: Array | None) -> float:
    """Root mean square of values, less what independent errors add to it."""
    return math.sqrt(max(root_mean_square(values, mass) ** 2 - error**2, 0.0))
