"""A solution as one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from meanfield.dynamics.phases import Phase
from meanfield.dynamics.series import StateSeries
from meanfield.problem import problem_from_parameters
from meanfield.storage import PathLike, read_archive, write_archive

if TYPE_CHECKING:
    from meanfield.dynamics.solution import Solution

SOLUTION_FORMAT = "meanfield-solution"


def write_solution(path: PathLike, solution: Solution) -> Path:
    """Write a solution to the file of this path, and return its path."""
    states = solution.states
    header = {
        "problem": solution.problem.parameters(),
        "parameters": dict(solution.parameters),
        "stats": solution.stats,
        "status": str(solution.status),
        "message": solution.message,
        "states": {"kind": states.kind, "shape": states.shape, "origin": states.origin},
        "observables": list(solution.observables),
        "phases": [part.plain() for part in solution.parts],
    }
    arrays = {"t": solution.t, "risk": solution.risk}
    arrays |= {f"varying.{name}": array for name, array in states.varying.items()}
    arrays |= {f"fixed.{name}": array for name, array in states.fixed.items()}
    # by number: any string may name an observable, not any string a file
    arrays |= {f"observable.{i}": each for i, each in enumerate(solution.observables.values())}
    return write_archive(path, SOLUTION_FORMAT, header, arrays)


def read_solution(path: PathLike) -> dict[str, Any]:
    """The fields of a `Solution`, by name; a ValueError where the file lacks one."""
    header, arrays = read_archive(path, SOLUTION_FORMAT)
    try:
        kept = header["states"]
        states: StateSeries[Any] = StateSeries(
            kept["kind"],
            {name[8:]: array for name, array in arrays.items() if name.startswith("varying.")},
            {name[6:]: array for name, array in arrays.items() if name.startswith("fixed.")},
            tuple(kept["shape"]),
            kept["origin"],
        )
        return {
            **{name: header[name] for name in ("status", "message", "stats")},
            "parameters": dict(header["parameters"]),
            "t": arrays["t"],
            "risk": arrays["risk"],
            "states": states,
            "problem": problem_from_parameters(header["problem"]),
            "observables": {
                name: arrays[f"observable.{i}"]
                for i, name in enumerate(header.get("observables", []))
            },
            "parts": tuple(Phase.of_plain(each) for each in header.get("phases", [])),
        }
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} lacks a part of a saved solution: {error}") from error
