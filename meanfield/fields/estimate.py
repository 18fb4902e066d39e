"""How an evaluator's error is stated: at sample neurons, over the size of the velocities."""

from __future__ import annotations

import numpy as np

from meanfield.fields.base import Array, root_mean_square

NEGLIGIBLE = 1e-3  # a component this far below the other is measured against the other


def sizes(du: Array, dr: Array, mass: Array | None) -> Array:
    """Root mean square of du/dt and dr/dt, neither taken as nothing beside the other."""
    both = np.array([root_mean_square(du, mass), root_mean_square(dr, mass)])
    return np.maximum(both, NEGLIGIBLE * (both.max() or 1.0))


def largest_miss(miss_u: Array, miss_r: Array, size: Array) -> float:
    """Largest deviation at the sample neurons, for u and r apart: neither hides the other."""
    return max(
        float(np.sqrt((miss_u**2).sum(axis=1).max())) / size[0],
        float(np.abs(miss_r).max()) / size[1],
    )
