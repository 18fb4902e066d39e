"""A run moved further by its solver: from its end under another problem, or between saved times."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Generic, Self

import numpy as np

from meanfield import checks
from meanfield.dynamics.between import alpha_at, state_at
from meanfield.dynamics.observables import joined_observables
from meanfield.dynamics.phases import Phase, RunArrays
from meanfield.dynamics.registry import ON_RANKS, SOLVERS, Solver
from meanfield.dynamics.state_series import Kept, joined_states, last_states
from meanfield.integrate import Status
from meanfield.integrate.records import check_times
from meanfield.problem import Problem, later_on
from meanfield.schedules.laws import AdagradNorm
from meanfield.until import check_until, with_laws


class Continued(RunArrays, Generic[Kept]):
    """Arrays of a run that can be asked for what it did between saved times, and for more of it."""

    def at(self, t: float) -> Kept:
        """The state at any time between the first and the last saved one.

        No interpolant is kept, for want of memory: the run is solved again from the last state
        before t that it kept, with its tolerances. The state is as accurate as those that were
        kept, and costs as much as that part of the run did; a state that was kept is returned as
        it is.

        Parameters
        ----------
        t : float
            In [t[0], t[-1]].

        Returns
        -------
        ParticleMeasure or Overlaps

        Raises
        ------
        TypeError, ValueError
            If t is not as above, or the run is not determined by the states that it kept: SGD,
            diffusion, fluctuations, a temperature, overlap equations under
            `schedules.adagrad_norm`, ranks.
        RuntimeError
            If the solve fails; the message says how.

        Examples
        --------
        >>> import meanfield as mf
        >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100, learning_rate=0.5)
        >>> run = mf.solve_overlaps(problem, mf.gaussian_overlaps(problem, p=2), 3.0, save_at=4)
        >>> bool(run.M[1, 0, 0] < run.at(1.5).M[0, 0] < run.M[2, 0, 0])
        True
        """
        return state_at(self, t)

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
            phase's; `phases` has each alone. Several runs side by side go on together from the
            last saved time, also those that ``until`` stopped earlier.

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
        return _go_on(self, problem, t_end, settings)


def _go_on(before: RunArrays, problem: Problem, t_end: float, settings: dict[str, Any]) -> Any:
    """See `Continued.then`."""
    together = SOLVERS[ON_RANKS].together if "comm" in settings else None
    # what one of the ranks refuses, none waits for
    with together(settings["comm"]) if together else nullcontext():
        solve, start, t0, given = _call(before, problem, t_end, settings)
    alpha = alpha_at(before, t0)
    after = solve(later_on(problem, t0, alpha), start, given.pop("t_end") - t0, **given)
    return _joined(before, after, problem, t0, alpha)


def _call(
    before: RunArrays, problem: Problem, t_end: float, settings: dict[str, Any]
) -> tuple[Callable[..., Any], Any, float, dict[str, Any]]:
    """The solver, the start, its time t0, and the solver's other arguments.

    The arguments are those of a run that begins at 0, but for ``t_end``. Refuses what cannot go on.
    """
    checks.instance(problem, "problem", Problem)
    solver = _solver(before, settings)
    of_law = "evaluator" in solver.settings  # the mean field: only it has a choice of evaluators
    t0 = float(before.t[-1])
    t_end = checks.real(t_end, "t_end")
    if t_end <= t0:
        raise ValueError(f"t_end must be after the run's end so far, t = {t0:g}, got {t_end:g}")
    _check_problem(before, problem)
    if not of_law:
        _refuse_sums(before, problem)
    known = before.parameters
    given = {name: known[name] for name in solver.settings if name in known}
    given |= solver.begin(before)
    if "comm" not in settings:
        given["keep"] = str(before.parameters.get("keep", "all"))
    given |= settings
    # a seed among the solver's settings is that of a sample, which stays; others are of noise
    if "seed" not in given and "comm" not in settings:
        seed_name = "noise_seed" if of_law else "seed"
        given["seed"] = _next_seed(int(before.parameters[seed_name]), len(before.phases))
    given["save_at"] = _times(given.get("save_at"), t0, t_end)
    for name in ("observables", "averages"):
        if given.get(name) is not None:
            functions = given[name].items()
            given[name] = {key: partial(_shifted, each, t0) for key, each in functions}
    if given.get("until") is not None:
        given["until"] = with_laws(
            check_until(given["until"]), lambda law: partial(_shifted, law, t0)
        )
    run: Any = before
    start = last_states(run.states) if len(run.states.shape) > 1 else run.final
    return solver.solve, start, t0, given | {"t_end": t_end}


def _joined(before: RunArrays, after: Any, problem: Problem, t0: float, alpha: float) -> Any:
    """One solution of both; `after` counts its time from t0."""
    stats = dict(after.stats)
    if "stopped_at" in stats:
        stats["stopped_at"] = (np.asarray(stats["stopped_at"]) + t0).tolist()
    parameters = dict(after.parameters)
    parameters["t_end"] = parameters["t_end"] + t0
    if "steps" in before.parameters:
        first = before.parameters["steps"][-1]
        later = [first + n for n in parameters["steps"]]
        stats["steps"] += first
        parameters["steps"] = [*before.parameters["steps"], *later]
    said = f"in times since t = {t0:g}: {after.message}"
    counts = len(before.t), len(after.t)
    phases = before.parts or (_phase(before, 0.0, 0.0, 0, 0),)
    firsts = counts[0], before.states.shape[-1]  # where the times and states of `after` begin
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
        parts=(*phases, _phase(latest, t0, alpha, *firsts)),
    )


def _phase(run: RunArrays, start: float, alpha: float, first: int, first_state: int) -> Phase:
    """A part of a longer run, see `Phase`; its ``steps`` are in the parameters of the whole."""
    parameters = {n: v for n, v in run.parameters.items() if n != "steps"}
    return Phase(
        run.problem, start, alpha, first, first_state, str(run.status), run.message, run.stats,
        parameters,
    )  # fmt: skip


def _solver(before: RunArrays, settings: dict[str, Any]) -> Solver:
    """The solver that goes on with a run; refuses a run with which none does.

    On ranks ``neurons`` counts those of all ranks and ``n`` those of one.
    """
    description = before.parameters.get("description")
    if description not in SOLVERS:
        allowed = ", ".join(sorted(set(SOLVERS) - {ON_RANKS}))
        raise ValueError(
            f"then goes on with {allowed}, not with a run of {description}: its state is not kept"
        )
    if before.status not in (Status.SUCCESS, Status.INACCURATE):
        raise ValueError(f"then goes on with runs that reached an end, got one {before.status}")
    if "comm" in settings and "neurons" in before.parameters:
        return SOLVERS[ON_RANKS]
    if before.parameters.get("neurons", 0) > before.parameters.get("n", 0):
        raise ValueError(
            "then needs comm= for a run on ranks, the communicator of all that hold a part of it"
        )
    return SOLVERS[str(description)]


def _check_problem(before: RunArrays, problem: Problem) -> None:
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


def _refuse_sums(before: RunArrays, problem: Problem) -> None:
    """Refuse learning rates that depend on what a run has summed, which no solution keeps."""
    for each in (before.problem, problem):
        if isinstance(each.learning_rate, AdagradNorm):
            raise ValueError(
                "then goes on with learning rates that do not depend on the state, got "
                "adagrad_norm: start a run of its own from solution.final, with b = rate/γ there"
            )


def _next_seed(seed: int, number: int) -> int:
    """The seed of the noise of phase `number`, which no earlier phase has drawn."""
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0])


def _times(save_at: Any, t0: float, t_end: float) -> Any:
    """Times to record, counted from t0; `save_at` is on the clock of the whole run."""
    if save_at is None or isinstance(save_at, int | np.integer):
        return save_at
    times = check_times(save_at, t_end)
    if times[0] < t0:
        raise ValueError(f"save_at must lie in [{t0:g}, {t_end:g}], got {times[0]:g}")
    return np.minimum(times - t0, t_end - t0)


def _shifted(function: Callable[[float, Any], Any], t0: float, t: float, state: Any) -> Any:
    """A user's function of the whole run's clock, at time t since t0."""
    return function(t0 + t, state)
