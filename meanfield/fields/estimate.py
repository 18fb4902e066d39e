"""How an evaluator's error is stated: at sample neurons, over the size of the velocities."""

from __future__ import annotations

import numpy as np

from meanfield.fields.base import Array, root_mean_square

NEGLIGIBLE = 1e-3  # a component this far below the other is measured against the other
CANCELLED, TINY = 1e-6, 1e-300


def sizes(du: Array, dr: Array, mass: Array | None, force: float) -> Array:
    """Root mean square of du/dt and dr/dt, neither taken as nothing beside the other.

    Nor is a velocity that vanishes by symmetry: what cancels in it is of the size of `force`,
    √(E f*²) times the root mean square of a.
    """
    both = np.array([root_mean_square(du, mass), root_mean_square(dr, mass)])
    return np.maximum(both, max(NEGLIGIBLE * both.max(), CANCELLED * force, TINY))


def largest_miss(miss_u: Array, miss_r: Array, size: Array) -> float:
    """Largest deviation at the sample neurons, for u and r apart: neither hides the other."""
    longest_u = float(np.sqrt((miss_u**2).sum(axis=1).max()))
    return max(longest_u / float(size[0]), float(np.abs(miss_r).max()) / float(size[1]))
