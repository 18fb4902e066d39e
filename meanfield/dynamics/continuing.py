"""A run moved further by its solver: from its end under another problem, or between saved times."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from meanfield import checks
from meanfield.dynamics.diffusion.simulate import simulate_diffusion
from meanfield.dynamics.fluctuations.solve import solve_fluctuations
from meanfield.dynamics.observables import joined_observables
from meanfield.dynamics.overlaps.solve import solve_overlaps
from meanfield.dynamics.particles.solve import solve_mean_field
from meanfield.dynamics.phases import Phase
from meanfield.dynamics.sgd.simulate import simulate_sgd
from meanfield.dynamics.solution import Solution
from meanfield.dynamics.state_series import joined_states, last_states
from meanfield.integrate import Status
from meanfield.integrate.records import check_times
from meanfield.problem import Problem, later_on
from meanfield.schedules.base import largest
from meanfield.schedules.laws import AdagradNorm
from meanfield.until import check_until, with_laws

OF_EQUATIONS = ("rtol", "atol", "method", "spherical")
ON_RANKS = ("rtol", "atol", "evaluator")
SOLVERS: dict[str, tuple[Callable[..., Solution], tuple[str, ...]]] = {
    "overlap ODEs": (
        solve_overlaps,
        (*OF_EQUATIONS, "sgd_noise", "batch_size", "noise_method", "samples", "seed"),
    ),
    "mean-field particles": (
        solve_mean_field, (*OF_EQUATIONS, "evaluator", "field_tolerance", "step"),
    ),
    "SGD in R^d": (simulate_sgd, ("batch_size", "spherical")),
    "SGD exact in law": (simulate_sgd, ("batch_size", "spherical")),
    "diffusion": (simulate_diffusion, ("rtol", "step", "batch_size", "spherical")),
    "fluctuations": (solve_fluctuations, ("rtol", "batch_size", "spherical", "samples", "seed")),
}  # fmt: skip


def go_on(before: Solution, problem: Problem, t_end: float, settings: dict[str, Any]) -> Solution:
    """See `Solution.then`."""
    if "comm" not in settings:
        solve, start, t0, given = _call(before, problem, t_end, settings)
    else:
        ranks = import_module("meanfield.parallel.ranks").Ranks(settings["comm"])
        with ranks.sharing_errors():  # what one of them refuses, none waits for
            solve, start, t0, given = _call(before, problem, t_end, settings)
    alpha = _alpha(before, t0)
    after = solve(later_on(problem, t0, alpha), start, given.pop("t_end") - t0, **given)
    return joined(before, after, problem, t0, alpha)


def _call(
    before: Solution, problem: Problem, t_end: float, settings: dict[str, Any]
) -> tuple[Callable[..., Solution], Any, float, dict[str, Any]]:
    """The solver, the start, its time, and all other arguments; refuses what cannot go on."""
    checks.instance(problem, "problem", Problem)
    solve, carried = _solver(before, settings)
    of_law = "evaluator" in carried
    t0 = float(before.t[-1])
    t_end = checks.real(t_end, "t_end")
    if t_end <= t0:
        raise ValueError(f"t_end must be after the run's end so far, t = {t0:g}, got {t_end:g}")
    _check_problem(before, problem)
    if not of_law:
        _refuse_sums(before, problem)
    given = {name: before.parameters[name] for name in carried if name in before.parameters}
    if solve is solve_fluctuations:
        given |= _scatter(before)
    if "comm" not in settings:
        given["keep"] = str(before.parameters.get("keep", "all"))
    given |= settings
    if "seed" not in given and "comm" not in settings:  # of noise; that of a sample stays the same
        name = "noise_seed" if of_law else "seed"
        given["seed"] = _next_seed(int(before.parameters[name]), len(before.phases))
    given["save_at"] = _times(given.get("save_at"), t0, t_end)
    for name in ("observables", "averages"):
        if given.get(name) is not None:
            functions = given[name].items()
            given[name] = {key: partial(_shifted, each, t0) for key, each in functions}
    if given.get("until") is not None:
        given["until"] = with_laws(
            check_until(given["until"]), lambda law: partial(_shifted, law, t0)
        )
    start = last_states(before.states) if len(before.states.shape) > 1 else before.final
    return solve, start, t0, given | {"t_end": t_end}


def joined(
    before: Solution, after: Solution, problem: Problem, t0: float, alpha: float
) -> Solution:
    """One solution of both; `after` counts its time from t0."""
    stats = dict(after.stats)
    if "stopped_at" in stats:
        stats["stopped_at"] = (np.asarray(stats["stopped_at"]) + t0).tolist()
    parameters = dict(after.parameters)
    parameters["t_end"] = parameters["t_end"] + t0
    if "steps" in before.parameters:
        first = before.parameters["steps"][-1]
        mine = [first + n for n in parameters["steps"]]
        stats["steps"] += first
        parameters["steps"] = [*before.parameters["steps"], *mine]
    said = f"in times since t = {t0:g}: {after.message}"
    counts = len(before.t), len(after.t)
    phases = before.parts or (_phase(before, 0.0, 0.0, 0, 0),)
    place = counts[0], before.states.shape[-1]
    latest = replace(after, problem=problem, stats=stats, parameters=parameters, message=said)
    worst = before.status if after.status is Status.SUCCESS else after.status
    return replace(
        latest,
        t=np.concatenate((before.t, t0 + after.t)),
        risk=np.concatenate((before.risk, after.risk), axis=-1),
        states=joined_states(before.states, after.states),
        status=worst,
        message=f"{before.message}; {said}",
        observables=joined_observables(
            before.observables, after.observables, counts, np.ndim(before.risk) - 1
        ),
        parts=(*phases, _phase(latest, t0, alpha, *place)),
    )


def _phase(run: Solution, start: float, alpha: float, first: int, first_state: int) -> Phase:
    parameters = {n: v for n, v in run.parameters.items() if n != "steps"}
    return Phase(
        run.problem, start, alpha, first, first_state, str(run.status), run.message, run.stats,
        parameters,
    )  # fmt: skip


def _solver(
    before: Solution, settings: dict[str, Any]
) -> tuple[Callable[..., Solution], tuple[str, ...]]:
    """What moves a run of this description, and which of its settings stay."""
    description = before.parameters.get("description")
    if description not in SOLVERS:
        raise ValueError(
            f"then goes on with {', '.join(SOLVERS)}, not with a run of {description}: its state "
            "is not kept"
        )
    if before.status not in (Status.SUCCESS, Status.INACCURATE):
        raise ValueError(f"then goes on with runs that reached an end, got one {before.status}")
    if "comm" in settings and "neurons" in before.parameters:
        # ranks lie above the descriptions
        return import_module("meanfield.parallel").solve_mean_field, ON_RANKS
    if before.parameters.get("neurons", 0) > before.parameters.get("n", 0):
        raise ValueError(
            "then needs comm= for a run on ranks, the communicator of all that hold a part of it"
        )
    return SOLVERS[str(description)]


def _check_problem(before: Solution, problem: Problem) -> None:
    """Refuse a problem that the state at the end is no state of."""
    old = before.problem
    if problem.dim != old.dim:
        raise ValueError(f"problem must stay at dim = {old.dim:g}, got {problem.dim:g}")
    same = np.shape(problem.target.gram) == np.shape(old.target.gram)
    if not same or not np.allclose(problem.target.gram, old.target.gram, rtol=0.0, atol=1e-12):
        raise ValueError(
            "problem must have a target with the same directions as before; "
            "mf.targets.together states two targets in the directions of both"
        )


def _refuse_sums(before: Solution, problem: Problem) -> None:
    """Refuse learning rates that depend on what a run has summed, which no solution keeps."""
    for each in (before.problem, problem):
        if isinstance(each.learning_rate, AdagradNorm):
            raise ValueError(
                "then goes on with learning rates that do not depend on the state, got "
                "adagrad_norm: start a run of its own from solution.final, with b = rate/γ there"
            )


def _scatter(before: Solution) -> dict[str, Any]:
    """How runs of SGD scatter and are biased where a band ends: its next start."""
    found = before.observables
    if "covariance" not in found or np.isnan(found["covariance"][-1]).any():
        raise ValueError(
            "then goes on with a band whose covariance was kept: save fewer times, at most "
            "4 million numbers in all"
        )
    parts = [found["Q_bias"][-1][np.triu_indices(len(found["Q_bias"][-1]))]]
    parts += [np.ravel(found["M_bias"][-1])]
    if "a_bias" in found and not np.isnan(found["a_bias"][-1]).any():
        parts.append(found["a_bias"][-1])
    return {"covariance": found["covariance"][-1], "bias": np.concatenate(parts)}


def _next_seed(seed: int, number: int) -> int:
    """Of the noise of a later phase: not that of an earlier one."""
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0])


def _times(save_at: Any, t0: float, t_end: float) -> Any:
    """Times to record, since t0; those given are on the run's clock."""
    if save_at is None or isinstance(save_at, int | np.integer):
        return save_at
    times = check_times(save_at, t_end)
    if times[0] < t0:
        raise ValueError(f"save_at must lie in [{t0:g}, {t_end:g}], got {times[0]:g}")
    return np.minimum(times - t0, t_end - t0)


def _shifted(function: Callable[[float, Any], Any], t0: float, t: float, state: Any) -> Any:
    """A user's function by the run's clock."""
    return function(t0 + t, state)


DETERMINED = ("overlap ODEs", "mean-field particles")  # by what they were a moment before


def state_at(run: Solution, t: float) -> Any:
    """See `Solution.at`."""
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


def _moved(phase: Solution, latest: int, t: float) -> Any:
    """The state at t, by a solve such as the run's own from one of its states."""
    solve, names = SOLVERS[str(phase.parameters["description"])]
    settings = {name: phase.parameters[name] for name in names if name in phase.parameters}
    t0 = float(phase.state_t[latest])
    problem = later_on(phase.problem, t0, _alpha(phase, t0))
    found = solve(problem, phase.states[latest], t - t0, save_at=[t - t0], **settings)
    if found.status not in (Status.SUCCESS, phase.status):
        raise RuntimeError(f"no state at t = {t:g}; in times since t = {t0:g}: {found.message}")
    return found.final


def _alpha(run: Solution, t: float) -> float:
    """α at one of the saved times; NaN where a description has none."""
    try:
        return float(run.alpha[np.searchsorted(run.t, t)])
    except AttributeError:
        return math.nan


def _check_description(run: Solution) -> None:
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
