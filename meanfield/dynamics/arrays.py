"""The fields of a run's states as arrays over time, under the names that the states give them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.phases import Phase
from meanfield.dynamics.series import StateSeries

Array = NDArray[np.float64]


class StateArrays:
    """Read-only arrays over the saved times, of whatever the states of the run have.

    A field that the run does not change, such as a fixed second layer, is repeated along time
    without being copied. With ``keep="ends"`` time has two entries, the first and the last. A field
    that the states do not have raises an AttributeError that names those they have.
    """

    states: StateSeries
    t: Array
    parts: tuple[Phase, ...]

    @property
    def state_t(self) -> Array:
        """Times of the states that were kept, (T,); the first and last of `t` if only the ends."""
        kept = self.states.shape[-1]
        if kept != len(self.t) and len(self.parts) > 1:
            phases: tuple[Any, ...] = self.phases  # type: ignore[attr-defined]
            return np.concatenate([phase.state_t for phase in phases])
        return self.t if kept == len(self.t) else self.t[[0, -1][:kept]]

    @property
    def a(self) -> Array:
        """Second-layer weights, (T, n); (runs, T, p) for SGD, as all that follows."""
        return self._over_time("a")

    @property
    def u(self) -> Array:
        """Positions in the principal subspace, (T, n, k)."""
        return self._over_time("u")

    @property
    def r(self) -> Array:
        """Lengths outside the principal subspace, (T, n)."""
        return self._over_time("r")

    @property
    def Q(self) -> Array:
        """Student–student overlaps W Wᵀ/d, (T, p, p)."""
        return self._over_time("Q")

    @property
    def M(self) -> Array:
        """Student–target overlaps W W*ᵀ/d, (T, p, k)."""
        return self._over_time("M")

    @property
    def P(self) -> Array:
        """Target–target overlaps W* W*ᵀ/d, (T, k, k)."""
        return self._over_time("P")

    @property
    def W(self) -> Array:
        """First-layer weights, (T, p, d)."""
        return self._over_time("W")

    @property
    def W_star(self) -> Array:
        """Weights of the target, (T, k, d)."""
        return self._over_time("W_star")

    def _over_time(self, name: str) -> Array:
        varying, fixed = self.states.varying, self.states.fixed
        if name in varying:
            found = varying[name].view()
        elif name in fixed:
            found = np.broadcast_to(fixed[name], (*self.states.shape, *fixed[name].shape))
        else:
            known = ", ".join(sorted({*varying, *fixed}))
            raise AttributeError(f"states of kind {self.states.kind} have no {name}, only {known}")
        found.flags.writeable = False
        return found
