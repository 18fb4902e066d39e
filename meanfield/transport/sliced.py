"""One-dimensional distances along random directions."""

from __future__ import annotations

import math

import numpy as np

from meanfield.transport.exact import Cloud, sorted_distance

ROUNDING = 2.0**-51  # of a projection, relative to the neuron


def mean_over_directions(
    first: Cloud, second: Cloud, order: int, count: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Mean over directions, to the power 1/order, and its standard error joined with rounding."""
    directions = rng.standard_normal((count, first.points.shape[1]))
    directions /= np.sqrt((directions**2).sum(axis=1, keepdims=True))
    found = np.empty(count)
    for i, theta in enumerate(directions):
        # row by row in one order: neurons that coincide stay together in the last bit
        x, y = ((cloud.points * theta).sum(axis=1) for cloud in (first, second))
        found[i] = sorted_distance(x, first, y, second, order)
    largest = float(found.max())
    if largest == 0.0:
        return 0.0, 0.0
    costs = (found / largest) ** order
    mean = float(costs.mean())
    spread = float(costs.std(ddof=1)) / math.sqrt(count) * mean ** (1 / order - 1) / order
    sizes = (
        float(cloud.masses @ np.abs(cloud.points).sum(axis=1) ** order) ** (1 / order)
        for cloud in (first, second)
    )
    error = math.hypot(largest * spread, ROUNDING * sum(sizes))
    return largest * mean ** (1 / order), error
