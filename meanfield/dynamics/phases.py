"""The phases of a run that went on under other problems: what each was, on one clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.series import StateSeries
from meanfield.integrate.records import Status
from meanfield.problem import Problem, problem_from_parameters
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


class Phased:
    """A run that can go on under another problem, and consists of phases then."""

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

    def then(self, problem: Problem, t_end: float, **settings: Any) -> Self:
        """Go on from the last saved time under another problem, as one run with one clock.

        Parameters
        ----------
        problem : Problem
            In the same dimension, with a target of the same directions: other rates, noise, or a
            second layer set free, and another target by way of `meanfield.targets.together`. Its
            schedules are read by the clock of the whole run.
        t_end : float
            Final time on that clock, after ``t[-1]``.
        **settings
            Of the solver: ``until``, ``save_at`` and observables, all by the clock of the whole
            run, ``checkpoint``, and whatever is to be different from before; tolerances and
            options stay, and noise is drawn anew. On ranks ``comm``, and every rank makes this
            call.

        Returns
        -------
        Solution
            Both parts, with the moment of change in it twice: its risk is that under the problem
            before, then under the new one. ``problem``, ``stats`` and ``parameters`` are the last
            phase's; `phases` has each alone. Runs of SGD that were stopped wait for the last.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as above, or this is no run that can go on: one that was
            interrupted or diverged, or of a description that does not keep all of its state.

        Examples
        --------
        >>> import meanfield as mf
        >>> one, two = mf.targets.together(mf.CommitteeTarget(k=1), mf.CommitteeTarget(k=1))
        >>> first = mf.Problem(one, dim=100)
        >>> run = mf.solve_overlaps(first, mf.gaussian_overlaps(first, p=2), 50.0, save_at=3)
        >>> run = run.then(mf.Problem(two, dim=100), 100.0, save_at=3)
        >>> run.t.tolist(), bool(run.risk_under(one)[-1] > run.risk_under(one)[2])
        ([0.0, 25.0, 50.0, 50.0, 75.0, 100.0], True)
        """
        # solvers return solutions, and lie above them
        return import_module("meanfield.dynamics.continuing").go_on(self, problem, t_end, settings)

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
        risk = import_module("meanfield.dynamics.risk").population_risk
        problem = replace(self.problem, target=check_target(target))
        states: Any = self.states
        if len(states.shape) > 1:
            return np.array([[risk(problem, state) for state in run] for run in states])
        return np.array([risk(problem, state) for state in states])


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


def last_states(states: StateSeries[Any]) -> StateSeries[Any]:
    """The last state of each of several runs, a series with one for each."""
    varying = {name: array[:, -1] for name, array in states.varying.items()}
    return StateSeries(states.kind, varying, states.fixed, states.shape[:1], states.origin)


def at_times(states: StateSeries[Any], part: slice) -> StateSeries[Any]:
    """The states of some of the times, the last axis of a series."""
    behind = (slice(None),) * (len(states.shape) - 1)
    varying = {name: array[(*behind, part)] for name, array in states.varying.items()}
    count = len(range(states.shape[-1])[part])
    return StateSeries(
        states.kind, varying, states.fixed, (*states.shape[:-1], count), states.origin
    )


def joined_states(before: StateSeries[Any], after: StateSeries[Any]) -> StateSeries[Any]:
    """One series after the other in time; what is not the same in both varies."""
    axis = len(before.shape) - 1
    fixed, varying = {}, {}
    for name in before.varying | before.fixed:
        still = name not in before.varying | after.varying
        if still and np.array_equal(before.fixed[name], after.fixed[name]):
            fixed[name] = before.fixed[name]
            continue
        varying[name] = np.concatenate([each.over_time(name) for each in (before, after)], axis)
    shape = (*before.shape[:-1], before.shape[-1] + after.shape[-1])
    return StateSeries(before.kind, varying, fixed, shape, before.origin)


def joined_observables(
    before: Mapping[str, Array], after: Mapping[str, Array], counts: Sequence[int], axis: int
) -> dict[str, Array]:
    """Values along both parts; NaN in a part that lacks an observable, or has it otherwise."""
    found = {}
    for name in {**before, **after}:
        parts = [part.get(name) for part in (before, after)]
        known = next(part for part in parts if part is not None)
        shape = known.shape[:axis], known.shape[axis + 1 :]
        blanks = [np.full((*shape[0], count, *shape[1]), np.nan) for count in counts]
        found[name] = np.concatenate(
            [
                blank if part is None or part.shape != blank.shape else part
                for part, blank in zip(parts, blanks, strict=True)
            ],
            axis,
        )
    return found
