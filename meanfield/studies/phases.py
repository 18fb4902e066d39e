"""Phases of a study's runs, which go on under other problems: as plain values, and carried out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from meanfield import checks
from meanfield.dynamics.risk import population_risk
from meanfield.dynamics.solution import Solution
from meanfield.integrate import Status
from meanfield.studies.parts import condition_of
from meanfield.studies.plain import refuse_unknown
from meanfield.studies.problems import build_problem, describe_problem

Values = Mapping[str, Any]

ALLOWED = {"problem", "t_end", "save_at", "until"}
RISK_OF = "risk_{}"  # of a phase's problem, all along the run; phases count from 1


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
        refuse_unknown(phase, ALLOWED, place)
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
