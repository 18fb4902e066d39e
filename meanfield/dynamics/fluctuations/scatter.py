"""How the starts of runs scatter about the overlaps that stand for them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.dynamics.fluctuations.coordinates import Coordinates
from meanfield.states import Overlaps

Array = NDArray[np.float64]


class Scatter(NamedTuple):
    """What a user says of the start: covariance (m, m) and bias (m,), with or without a's part."""

    covariance: Any
    bias: Any

    def of_second_layer(self, overlaps: Overlaps) -> bool:
        """Whether the second layer of the start scatters or is biased."""
        p, first = overlaps.p, _without(overlaps.p, overlaps.k)
        parts = [np.asarray(part) for part in self if np.shape(part)[:1] == (first + p,)]
        return any(bool(np.any(part[first:] != 0.0)) for part in parts)

    def at(self, c: Coordinates) -> tuple[Array, Array]:
        """Bias and covariance in the coordinates of a run; refuses what is neither."""
        bias, covariance = np.zeros(c.size), np.zeros((c.size, c.size))
        if self.bias is not None:
            found = self._checked("bias", c, 1)
            kept = min(c.size, len(found))
            bias[:kept] = found[:kept]
        if self.covariance is None:
            return bias, covariance
        found = self._checked("covariance", c, 2)
        size, m = float(np.abs(found).max()), len(found)
        if not np.allclose(found, found.T, rtol=0.0, atol=1e-10 * size) or (
            float(np.linalg.eigvalsh(found)[0]) < -1e-10 * size * m
        ):
            raise ValueError("covariance must be symmetric and positive semi-definite")
        kept = min(c.size, m)
        covariance[:kept, :kept] = found[:kept, :kept]
        return bias, covariance

    def _checked(self, name: str, c: Coordinates, axes: int) -> Array:
        """An argument of either size."""
        value, first = getattr(self, name), _without(c.p, c.k)
        size = first + c.p if np.shape(value)[:1] == (first + c.p,) else first
        described = f"({', '.join('m' * axes)}) with m = {first}, or {first + c.p} with a"
        return np.asarray(checks.array(value, name, (size,) * axes, described=described))


def _without(p: int, k: int) -> int:
    """How many numbers Q and M are."""
    return p * (p + 1) // 2 + p * k
