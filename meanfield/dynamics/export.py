"""A run for other tools: as an `xarray.Dataset`, and as a `pandas.DataFrame`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas
    import xarray

    from meanfield.dynamics.solution import Solution

FIELD_DIMS = {
    "a": ("neuron",), "r": ("neuron",), "mass": ("neuron",), "u": ("neuron", "direction"),
    "Q": ("neuron", "other_neuron"), "M": ("neuron", "target"), "P": ("target", "other_target"),
    "W": ("neuron", "input"), "W_star": ("target", "input"),
}  # fmt: skip


def dataset(solution: Solution) -> xarray.Dataset:
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


def frame(solution: Solution) -> pandas.DataFrame:
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


def _attributes(solution: Solution) -> dict[str, str]:
    """How the run was made and how it ended, as text: what files of any format can hold."""
    return {
        "status": str(solution.status),
        "message": solution.message,
        "problem": json.dumps(solution.problem.parameters(), default=str),
        "parameters": json.dumps(dict(solution.parameters), default=str),
        "stats": json.dumps(solution.stats, default=str),
    }
