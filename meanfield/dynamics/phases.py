"""A run as arrays: the fields of its states over time and its clock, whole and phase by phase."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.rates import samples_per_dimension
from meanfield.dynamics.registry import risk_of_state
from meanfield.dynamics.state_series import StateSeries, at_times
from meanfield.integrate.records import Status
from meanfield.problem import Problem, later_on, problem_from_parameters
from meanfield.targets import Target, check_target

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Phase:
    """What a part of a run was, beside its numbers.

    Attributes
    ----------
    problem : Problem
    start, alpha : float
        Where the run's clock and its samples per dimension stood when it began; NaN where a
        description has no α.
    first, first_state : int
        Places of its first saved time, and of its first kept state.
    status, message : str
    stats, parameters : dict
    """

    problem: Problem
    start: float
    alpha: float
    first: int
    first_state: int
    status: str
    message: str
    stats: Mapping[str, Any]
    parameters: Mapping[str, Any]

    def plain(self) -> dict[str, Any]:
        """In plain values, for a file."""
        return {**vars(self), "problem": self.problem.parameters()}

    @classmethod
    def of_plain(cls, values: Mapping[str, Any]) -> Phase:
        """The inverse of `plain`."""
        return cls(**{**values, "problem": problem_from_parameters(values["problem"])})


class RunArrays:
    """Read-only arrays over the saved times, of whatever the states have, and times in other units.

    A field that the run does not change, such as a fixed second layer, is repeated along time
    without being copied. With ``keep="ends"`` time has two entries, the first and the last. A field
    that the states do not have raises an AttributeError that names those they have. A run that went
    on under another problem consists of phases.
    """

    t: Array
    risk: Array
    states: StateSeries[Any]
    status: Status
    message: str
    stats: dict[str, Any]
    problem: Problem
    parameters: Mapping[str, Any]
    observables: Mapping[str, NDArray[Any]]
    parts: tuple[Phase, ...]

    @property
    def phases(self) -> tuple[Self, ...]:
        """The parts of a run that went on under other problems, each on the clock of the whole."""
        if not self.parts:
            return (self,)
        return tuple(_phase_of(self, i) for i in range(len(self.parts)))

    def risk_under(self, target: Target) -> NDArray[np.float64]:
        """The population risk of the kept states under a target, such as that of another phase.

        Parameters
        ----------
        target : Target
            With the directions of the run's own; see `meanfield.targets.together`.

        Returns
        -------
        ndarray, shape (T,), or (runs, T) for SGD
            At the times ``state_t``.

        Raises
        ------
        TypeError, ValueError
            If the target is none, or has other directions.
        """
        problem = replace(self.problem, target=check_target(target))
        states: Any = self.states
        if len(states.shape) > 1:
            return np.array([[risk_of_state(problem, state) for state in run] for run in states])
        return np.array([risk_of_state(problem, state) for state in states])

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


def _phase_of(run: Any, number: int) -> Any:
    """One of the phases of a run."""
    phase, later = run.parts[number], run.parts[number + 1 :]
    times = slice(phase.first, later[0].first if later else len(run.t))
    states = slice(phase.first_state, later[0].first_state if later else run.states.shape[-1])
    parameters, axis = dict(phase.parameters), np.ndim(run.risk) - 1
    if "steps" in run.parameters:
        parameters["steps"] = run.parameters["steps"][times]
    return replace(
        run,
        t=run.t[times],
        risk=run.risk[..., times],
        states=at_times(run.states, states),
        status=Status(phase.status),
        message=phase.message,
        stats=dict(phase.stats),
        problem=phase.problem,
        parameters=parameters,
        observables={
            name: values[(slice(None),) * axis + (times,)]
            for name, values in run.observables.items()
        },
        parts=(replace(phase, first=0, first_state=0),),
    )
