"""The parts of a run by name: a problem, a start, a solver, later phases, from plain values.

Names and kinds are checked here, against the signatures of the functions themselves, when a study
is made; what only the functions can judge shows when the run is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, get_args

from meanfield import checks, starts
from meanfield.dynamics.diffusion.simulate import simulate_diffusion
from meanfield.dynamics.fluctuations.risk_band import solve_risk_band
from meanfield.dynamics.fluctuations.solve import solve_fluctuations
from meanfield.dynamics.overlaps.solve import solve_overlaps
from meanfield.dynamics.particles.solve import solve_mean_field
from meanfield.dynamics.risk import population_risk
from meanfield.dynamics.sgd.simulate import simulate_sgd
from meanfield.dynamics.solution import Solution
from meanfield.integrate import Status, linear_times, logarithmic_times
from meanfield.problem import Problem
from meanfield.states import Overlaps, ParticleMeasure, State, Weights
from meanfield.studies.plain_values import (
    build_problem,
    describe_problem,
    find_function,
    refuse_unknown,
)
from meanfield.until import Condition, check_until

Values = Mapping[str, Any]
Function = Callable[..., Any]
SOLVERS: dict[str, Function] = {
    "mean_field": solve_mean_field,
    "overlaps": solve_overlaps,
    "sgd": simulate_sgd,
    "diffusion": simulate_diffusion,
    "fluctuations": solve_fluctuations,
    "risk_band": solve_risk_band,
}
# what the study itself decides
RESERVED = {
    "problem", "measure", "overlaps", "start", "progress", "threads", "checkpoint", "observables",
    "keep", "comm",
}  # fmt: skip
# arguments younger than stores of runs: at their defaults they are no part of a run's key
YOUNGER = {"method", "evaluator", "until"}
OF_A_PHASE = {"problem", "t_end", "save_at", "until"}
RISK_OF = "risk_{}"  # of a phase's problem, all along the run; phases count from 1
SPACINGS = {"linear": linear_times, "logarithmic": logarithmic_times}
KINDS: dict[Any, tuple[type, ...]] = {
    int: (int,), float: (int, float), str: (str,), bool: (bool,),
}  # fmt: skip
IN_WEIGHTS = 2.5  # a step in R^d costs p d/2.5 of one exact in law, p²
MOST_WEIGHTS = 2 * 10**7


def gaussian_network(
    problem: Problem, p: int, scale: float = 1.0, seed: int = 0
) -> Weights | Overlaps:
    """w ~ N(0, scale² I_d) in the description in which a step of SGD costs less."""
    d = problem.dim
    if p > problem.perpendicular_dim or (d < IN_WEIGHTS * p and p * d < MOST_WEIGHTS):
        return starts.gaussian_weights(problem, p, scale, seed)
    return starts.gaussian_overlaps(problem, p, scale, seed)


def given_measure(
    problem: Problem,
    a: Sequence[float],
    u: Sequence[Sequence[float]],
    r: Sequence[float],
    mass: Sequence[float] | None = None,
) -> ParticleMeasure:
    """The measure whose numbers are given, in every dimension."""
    return ParticleMeasure(a, u, r, mass, origin={"start": "given"})  # type: ignore[arg-type]


LAWS: dict[str, Function] = {
    law.__name__: law
    for law in (
        starts.aligned_measure, starts.aligned_overlaps, starts.aligned_weights,
        starts.gaussian_measure, starts.gaussian_overlaps, starts.gaussian_weights,
        starts.spherical_measure, starts.spherical_overlaps, starts.spherical_weights,
        gaussian_network, given_measure,
    )
}  # fmt: skip


def start_law(values: Values, place: str = "start") -> tuple[Function, dict[str, Any]]:
    """The function that draws a start, and its parameters."""
    if "law" not in values:
        raise ValueError(f"{place}.law is missing: it names how the start is drawn")
    name = values["law"]
    if ":" in str(name):
        function = find_function(name)
    else:
        function = LAWS[checks.option(name, f"{place}.law", sorted(LAWS))]
    given = {key: value for key, value in values.items() if key != "law"}
    return function, _check_arguments(function, given, {"problem"}, place)


def solver_of(values: Values, place: str = "solver") -> tuple[Function, dict[str, Any]]:
    """The function that solves, and its settings with the times to save at made out."""
    if "description" not in values:
        raise ValueError(f"{place}.description is missing: one of {', '.join(SOLVERS)}")
    name = checks.option(values["description"], f"{place}.description", SOLVERS)
    function = SOLVERS[name]
    given = {key: value for key, value in values.items() if key != "description"}
    settings = _check_arguments(function, given, RESERVED, place)
    if "until" in settings:
        settings["until"] = condition_of(settings["until"], f"{place}.until")
    if isinstance(settings.get("save_at"), Mapping):
        settings["save_at"] = _times(settings["save_at"], settings["t_end"], f"{place}.save_at")
    return function, settings


def complete(values: Values) -> dict[str, Any]:
    """The problem, start and solver of a run with everything said that was left to defaults.

    Raises
    ------
    TypeError, ValueError
        If one of them cannot be; the message names the place, as in ``start.n``.
    """
    law, start = start_law(values["start"])
    solve, solver = solver_of(values["solver"])
    if "until" in solver:
        solver["until"] = solver["until"].parameters()
    _check_kinds(values["start"]["law"], law, values["solver"]["description"], solve)
    return {
        "problem": describe_problem(build_problem(values["problem"])),
        "start": {"law": values["start"]["law"], **start},
        "solver": {"description": values["solver"]["description"], **solver},
    }


def _check_kinds(start: str, law: Function, solver: str, solve: Function) -> None:
    """Refuse a start that this solver does not take, as far as types are declared."""
    made = _kinds(_signature(law).return_annotation)
    declared = (p.annotation for p in _arguments(solve).values())
    taken = next(kinds for annotation in declared if (kinds := _kinds(annotation)))
    if made and not made & taken:
        fitting = [n for n in LAWS if _kinds(_signature(LAWS[n]).return_annotation) & taken]
        raise ValueError(
            f"start.law must draw {_named(taken)} for solver.description {solver!r}, as "
            f"{', '.join(fitting)} do; got {start!r}, which draws {_named(made)}"
        )


def _kinds(annotation: Any) -> set[type[State]]:
    """The kinds of states that a type allows."""
    types = (annotation, *get_args(annotation))
    return {kind for kind in types if isinstance(kind, type) and issubclass(kind, State)}


def _named(kinds: set[type[State]]) -> str:
    return " or ".join(sorted(kind.__name__ for kind in kinds))


def takes(function: Function, argument: str) -> bool:
    """Whether a function has such an argument."""
    return argument in _arguments(function)


@cache
def _signature(function: Function) -> inspect.Signature:
    """What a function takes and gives, the types evaluated where they can be."""
    try:
        return inspect.signature(function, eval_str=True)
    except NameError:  # a type that only a type checker imports
        return inspect.signature(function)


def _arguments(function: Function) -> Mapping[str, inspect.Parameter]:
    return _signature(function).parameters


def _check_arguments(
    function: Function, values: Values, reserved: set[str], place: str
) -> dict[str, Any]:
    """The arguments with their defaults: a run's key must not depend on what was left unsaid.

    The seed is the study's to give, unless it is among the values.
    """
    parameters = _arguments(function)
    refuse_unknown(values, set(parameters) - reserved, place)
    complete = dict(values)
    for name, parameter in parameters.items():
        if name in values:
            _check_kind(values[name], parameter.annotation, f"{place}.{name}")
            if name in YOUNGER and values[name] == parameter.default:
                del complete[name]
        elif name not in reserved | YOUNGER and name != "seed":
            if parameter.default is parameter.empty:
                raise ValueError(f"{place}.{name} is missing")
            if parameter.default is None or isinstance(parameter.default, int | float | str):
                complete[name] = parameter.default
    return complete


def _check_kind(value: Any, annotation: Any, place: str) -> None:
    kinds = KINDS.get(annotation) if isinstance(annotation, type) else None
    if kinds and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
        raise TypeError(f"{place} must be {annotation.__name__}, got {value!r}")


def condition_of(values: Any, place: str) -> Condition:
    """The condition that a table describes; its functions are found by name."""
    checks.instance(values, place, dict)
    found = dict(values)
    if isinstance(found.get("law"), str):
        found["law"] = find_function(found["law"])
    if isinstance(found.get("conditions"), list):
        parts = enumerate(found["conditions"])
        found["conditions"] = [condition_of(each, f"{place}.conditions[{i}]") for i, each in parts]
    return check_until(found, place)


def _times(values: Values, t_end: float, place: str) -> list[float]:
    refuse_unknown(values, {"spacing", "count", "first"}, place)
    spacing = checks.option(values.get("spacing", "linear"), f"{place}.spacing", SPACINGS)
    settings = {key: value for key, value in values.items() if key != "spacing"}
    try:
        return SPACINGS[spacing](t_end, **settings).tolist()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{place}: {error}") from error


def complete_phases(phases: Any, problem: Values, t_end: float) -> list[dict[str, Any]]:
    """The phases of a run with whole problems: what one does not say stays as it was.

    Raises
    ------
    TypeError, ValueError
        If one of them cannot be; the message names the place, as in ``phases[0].t_end``.
    """
    if not isinstance(phases, list | tuple):
        raise TypeError(f"phases must be a list of tables, got {phases!r}")
    found = []
    for i, phase in enumerate(phases):
        place = f"phases[{i}]"
        checks.instance(phase, place, dict)
        refuse_unknown(phase, OF_A_PHASE, place)
        changes = phase.get("problem", {})
        checks.instance(changes, f"{place}.problem", dict)
        problem = describe_problem(build_problem({**problem, **changes}, f"{place}.problem"))
        if "t_end" not in phase:
            raise ValueError(f"{place}.t_end is missing")
        end = checks.real(phase["t_end"], f"{place}.t_end", above=t_end)
        t_end = end
        entry = {**phase, "problem": problem, "t_end": end}
        if "until" in phase:
            entry["until"] = condition_of(phase["until"], f"{place}.until").parameters()
        found.append(entry)
    return found


def risks_of_phases(
    problem: Values, phases: Sequence[Values]
) -> dict[str, Callable[[float, Any], float]]:
    """Observables of a run with phases: its risk under each of their problems, all along it."""
    if not phases:
        return {}
    problems = [build_problem(problem), *(build_problem(phase["problem"]) for phase in phases)]
    return {RISK_OF.format(i): partial(_risk, each) for i, each in enumerate(problems, start=1)}


def go_on(
    solution: Solution, phases: Sequence[Values], observables: Any, checkpoint: Path | None
) -> Solution:
    """The run through its phases, as far as it goes; each has a checkpoint of its own."""
    for i, phase in enumerate(phases):
        if solution.status not in (Status.SUCCESS, Status.INACCURATE):
            break
        settings = {key: phase[key] for key in ("save_at",) if key in phase}
        if "until" in phase:
            settings["until"] = condition_of(phase["until"], f"phases[{i}].until")
        if checkpoint is not None:
            settings["checkpoint"] = checkpoint.with_name(f"{checkpoint.name}-phase-{i + 2}")
        solution = solution.then(
            build_problem(phase["problem"]), phase["t_end"], observables=observables, **settings
        )
    return solution


def _risk(problem: Any, t: float, state: Any) -> float:
    return population_risk(problem, state)
