"""A run as arrays: the fields of its states over time, under their own names, and its clock."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.phases import Phased
from meanfield.dynamics.rates import samples_per_dimension
from meanfield.problem import later_on

Array = NDArray[np.float64]


class RunArrays(Phased):
    """Read-only arrays over the saved times, of whatever the states have, and times in other units.

    A field that the run does not change, such as a fixed second layer, is repeated along time
    without being copied. With ``keep="ends"`` time has two entries, the first and the last. A field
    that the states do not have raises an AttributeError that names those they have.
    """

    @property
    def state_t(self) -> Array:
        """Times of the states that were kept, (T,); the first and last of `t` if only the ends."""
        kept = self.states.shape[-1]
        if kept != len(self.t) and len(self.parts) > 1:
            return np.concatenate([phase.state_t for phase in self.phases])
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
        found = self.states.over_time(name).view()
        found.flags.writeable = False
        return found

    @property
    def alpha(self) -> NDArray[np.float64]:
        """α = ν/d, (T,): samples per dimension, one a step, until each of the saved times.

        Of runs of SGD that have clocks of their own, (runs, T).
        Of SGD what it did, otherwise dα/dt = p/γ, along a schedule too. A law of neurons has no
        width p, and a learning rate of 0 no steps: an AttributeError says so.
        """
        if "steps" in self.parameters:
            return np.asarray(self.parameters["steps"]) / self.problem.dim
        if "alpha" in self.parameters:
            return np.asarray(self.parameters["alpha"])
        if len(self.parts) > 1:
            return np.concatenate([phase.alpha for phase in self.phases])
        fields = self.states.varying | self.states.fixed
        p = None if self.states.kind == "ParticleMeasure" else fields["a"].shape[-1]
        if not self.parts:
            return samples_per_dimension(self.problem, p, self.t)
        phase = self.parts[0]
        problem = later_on(phase.problem, phase.start, phase.alpha)
        return phase.alpha + samples_per_dimension(problem, p, self.t - phase.start)

    @property
    def steps(self) -> NDArray[Any]:
        """Steps of SGD until each of the saved times, (T,): αd, at a finite d.

        Whole numbers of SGD itself. See `alpha`; an AttributeError where d is infinite.
        """
        if "steps" in self.parameters:
            return np.asarray(self.parameters["steps"])
        alpha, d = self.alpha, self.problem.dim
        if math.isinf(d):
            raise AttributeError("steps are of a finite dim, got a problem at inf; see alpha")
        return alpha * d

    @property
    def stopped_at(self) -> Any:
        """The time at which ``until`` ended the run, (runs,) for SGD; NaN where it did not."""
        return _shaped(self.stats.get("stopped_at", math.nan), np.shape(self.risk)[:-1])

    @property
    def stopped_by(self) -> Any:
        """The name of the condition that ended the run, a list of them for SGD; "" where none."""
        return self.stats.get("stopped_by", "" if np.ndim(self.risk) < 2 else [""] * len(self.risk))


def _shaped(value: Any, shape: tuple[int, ...]) -> Any:
    """One number, or an array of one for each run."""
    return np.broadcast_to(np.asarray(value, dtype=np.float64), shape) if shape else float(value)
