"""The clock of a run in the units that one asks for, and when and by what it was stopped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.phases import Phase
from meanfield.dynamics.rates import samples_per_dimension
from meanfield.dynamics.series import StateSeries
from meanfield.problem import Problem, later_on


class RunClock:
    """Saved times in samples per dimension and in steps of SGD, and the end of a run."""

    t: NDArray[np.float64]
    risk: NDArray[np.float64]
    states: StateSeries
    problem: Problem
    parameters: Mapping[str, Any]
    stats: dict[str, Any]
    parts: tuple[Phase, ...]

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
            phases: tuple[Any, ...] = self.phases  # type: ignore[attr-defined]
            return np.concatenate([phase.alpha for phase in phases])
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
