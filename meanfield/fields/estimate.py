"""How an evaluator's error is stated: at sample neurons, over the size of the velocities."""

from __future__ import annotations

import numpy as np

from meanfield.fields.base import Array, root_mean_square

SAMPLES, EXTREMES = 16, 3  # neurons the field is checked at
NEGLIGIBLE = 1e-3  # a component this far below the other is measured against the other


def sample_neurons(u: Array, r: Array) -> Array:
    """Neurons to check at: the extreme ones in each coordinate and an even selection."""
    n = len(r)
    extremes = min(n - 1, EXTREMES)
    chosen = [np.linspace(0, n - 1, min(n, SAMPLES)).astype(np.int64)]
    for coordinate in (r, -r, *u.T, *-u.T):
        chosen.append(np.argpartition(coordinate, n - 1 - extremes)[n - 1 - extremes :])
    return np.unique(np.concatenate(chosen))


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
