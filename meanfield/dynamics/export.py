"""A run out of memory: as one file, as an `xarray.Dataset`, as a `pandas.DataFrame`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from meanfield.dynamics.phases import Phase, RunArrays
from meanfield.dynamics.state_series import StateSeries
from meanfield.problem import problem_from_parameters
from meanfield.storage import PathLike, read_archive, write_archive

if TYPE_CHECKING:
    import pandas
    import xarray

SOLUTION_FORMAT = "meanfield-solution"
FIELD_DIMS = {
    "a": ("neuron",), "r": ("neuron",), "mass": ("neuron",), "u": ("neuron", "direction"),
    "Q": ("neuron", "other_neuron"), "M": ("neuron", "target"), "P": ("target", "other_target"),
    "W": ("neuron", "input"), "W_star": ("target", "input"),
}  # fmt: skip


def write_solution(path: PathLike, solution: RunArrays) -> Path:
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


def dataset(solution: RunArrays) -> xarray.Dataset:
    """All arrays of a run with named dimensions, time as a coordinate."""
    try:
        import xarray
    except ImportError as error:
        raise ImportError("to_xarray needs xarray: pip install '.[xarray]'") from error
    runs = ("run",) if np.ndim(solution.risk) == 2 else ()
    variables: dict[str, tuple[tuple[str, ...], Any]] = {"risk": ((*runs, "time"), solution.risk)}
    for name, values in solution.observables.items():
        leading = (*runs, "time")
        extra = tuple(f"{name}_{i}" for i in range(np.ndim(values) - len(leading)))
        variables[name] = ((*leading, *extra), values)
    states, every = solution.states, solution.states.shape[-1] == len(solution.t)
    kept = "time" if every else "state_time"
    for name, values in states.varying.items():
        variables[name] = ((*runs, kept, *FIELD_DIMS[name]), values)
    for name, values in states.fixed.items():
        if values is not None:
            variables[name] = (FIELD_DIMS[name], values)
    coordinates: dict[str, Any] = {"time": solution.t}
    if not every:
        coordinates["state_time"] = solution.state_t
    return xarray.Dataset(variables, coordinates, _attributes(solution))


def frame(solution: RunArrays) -> pandas.DataFrame:
    """One row for each saved time (and run): time, risk, and each observable that is a number."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError("to_dataframe needs pandas: pip install '.[xarray]'") from error
    risk = np.atleast_2d(solution.risk)
    columns: dict[str, Any] = {}
    if np.ndim(solution.risk) == 2:
        columns["run"] = np.repeat(np.arange(len(risk)), len(solution.t))
    columns["time"] = np.tile(solution.t, len(risk))
    columns["risk"] = risk.ravel()
    for name, values in solution.observables.items():
        if np.shape(values) == np.shape(solution.risk):
            columns[name] = np.ravel(values)
    table = pandas.DataFrame(columns)
    table.attrs.update(_attributes(solution))
    return table


def _attributes(solution: RunArrays) -> dict[str, str]:
    """How the run was made and how it ended, as text: what files of any format can hold."""
    return {
        "status": str(solution.status),
        "message": solution.message,
        "problem": json.dumps(solution.problem.parameters(), default=str),
        "parameters": json.dumps(dict(solution.parameters), default=str),
        "stats": json.dumps(solution.stats, default=str),
    }
