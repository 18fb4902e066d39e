"""The state of a run between its saved times, where the state a moment before determines it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from meanfield import checks
from meanfield.dynamics.phases import RunArrays
from meanfield.dynamics.registry import SOLVERS
from meanfield.integrate import Status
from meanfield.problem import later_on
from meanfield.schedules.base import largest
from meanfield.schedules.laws import AdagradNorm

DETERMINED = ("overlap ODEs", "mean-field particles")  # by what they were a moment before


def state_at(run: RunArrays, t: float) -> Any:
    """See `Continued.at`."""
    _check_description(run)
    t = checks.real(t, "t")
    if len(run.t) == 0:
        raise ValueError(f"the run saved no state: {run.message}")
    if not run.t[0] <= t <= run.t[-1]:
        raise ValueError(
            f"t must lie between the first and last saved times, in [{run.t[0]:g}, "
            f"{run.t[-1]:g}], got {t:g}"
        )
    phase = next(part for part in run.phases if t <= part.t[-1])
    if t < phase.t[0]:
        raise ValueError(
            f"t must be at least {phase.t[0]:g}, the first saved time of its phase, got {t:g}"
        )
    latest = int(np.searchsorted(phase.state_t, t, side="right")) - 1
    if phase.state_t[latest] == t:
        return phase.states[latest]
    return _moved(phase, latest, t)


def _moved(phase: RunArrays, latest: int, t: float) -> Any:
    """The state at t, by a solve such as the run's own from one of its states."""
    solver, known = SOLVERS[str(phase.parameters["description"])], phase.parameters
    settings = {name: known[name] for name in solver.settings if name in known}
    t0 = float(phase.state_t[latest])
    problem = later_on(phase.problem, t0, alpha_at(phase, t0))
    found = solver.solve(problem, phase.states[latest], t - t0, save_at=[t - t0], **settings)
    if found.status not in (Status.SUCCESS, phase.status):
        raise RuntimeError(f"no state at t = {t:g}; in times since t = {t0:g}: {found.message}")
    return found.final


def alpha_at(run: RunArrays, t: float) -> float:
    """α at one of the saved times; NaN where a description has none."""
    try:
        return float(run.alpha[np.searchsorted(run.t, t)])
    except AttributeError:
        return math.nan


def _check_description(run: RunArrays) -> None:
    """Refuse runs that are not determined by a state they kept."""
    description = run.parameters.get("description")
    others = "; name the times of interest in save_at"
    if description not in DETERMINED:
        raise ValueError(
            f"at is for {' and '.join(DETERMINED)}; what a run of {description} did between its "
            f"saved times is not kept{others}"
        )
    if any(largest(phase.problem.temperature) > 0.0 for phase in run.phases):
        raise ValueError(f"at is for runs without noise, got one at a temperature{others}")
    if run.parameters.get("neurons", 0) > run.parameters.get("n", 0):
        raise ValueError(f"at is for runs of one process, got one of several ranks{others}")
    if description == "overlap ODEs" and any(
        isinstance(phase.problem.learning_rate, AdagradNorm) for phase in run.phases
    ):
        raise ValueError(
            "at is for learning rates that do not depend on what a run has met, got "
            f"adagrad_norm{others}"
        )
