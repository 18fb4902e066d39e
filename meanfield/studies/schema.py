"""What the files of a store must hold, checked before anything is made of it.

A folder may come from elsewhere: a number in it must not decide how much memory is taken, nor a
word which file is opened.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.integrate import Status
from meanfield.studies.observables import ERROR, RISK, TIME, named

Types = Mapping[str, type | tuple[type, ...]]
STUDY: Types = {
    "problem": dict, "start": dict, "solver": dict, "observables": list, "grid": dict,
    "replicas": int, "seed": int, "name": str,
}  # fmt: skip
RUN: Types = {"index": list, "seeds": list, "key": str}
RECORD: Types = {
    "key": str, "run": dict, "status": str, "message": str, "stats": dict, "traceback": str,
    "versions": dict, "seconds": (int, float),
}  # fmt: skip
PARAMETERS: Types = {
    "problem": dict, "start": dict, "solver": dict, "observables": list, "seeds": list,
}  # fmt: skip
KEY = re.compile(r"[0-9a-f]{64}")
STATUSES = {str(status) for status in Status} - {str(Status.INTERRUPTED)} | {"failed"}


def check_study(described: Mapping[str, Any]) -> None:
    """Refuse what is no description of a study; the message names the entry."""
    _typed(described, {"study": dict, "runs": list}, "")
    study, runs = described["study"], described["runs"]
    _typed(study, STUDY, "study.")
    if not isinstance(study.get("independent", False), bool):
        raise ValueError("study.independent must be a bool")
    _words(study["observables"], "study.observables")
    sizes = []
    for axis, values in study["grid"].items():
        if not isinstance(values, list) or not values:
            raise ValueError(f"study.grid.{axis} must be a list of at least one value")
        sizes.append(len(values))
    if not 1 <= study["replicas"] <= len(runs):
        raise ValueError(f"study.replicas must be from 1 to the number of runs, {len(runs)}")
    sizes.append(study["replicas"])
    points = set()
    for i, run in enumerate(runs):
        if not isinstance(run, dict):
            raise ValueError(f"runs[{i}] must be a dict")
        _check_run(run, sizes, f"runs[{i}].")
        points.add(tuple(run["index"][:-1]))
    if len(points) != math.prod(sizes[:-1]):
        raise ValueError("runs must hold one at least for every point of study.grid")
    if len({tuple(run["index"]) for run in runs}) < len(runs):
        raise ValueError("runs must differ in their index")


def _check_run(run: Mapping[str, Any], sizes: list[int], place: str) -> None:
    _typed(run, RUN, place)
    index = run["index"]
    if len(index) != len(sizes) or not all(
        _whole(i) and i < size for i, size in zip(index, sizes, strict=True)
    ):
        raise ValueError(f"{place}index must be a place in study.grid, got {index!r:.60}")
    _check_seeds(run["seeds"], f"{place}seeds")
    if not KEY.fullmatch(run["key"]):
        raise ValueError(f"{place}key must be 64 hexadecimal digits, got {run['key']!r:.80}")


def check_record(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Refuse what is no record of a run; the message names the entry."""
    _typed(header, RECORD, "")
    if header["status"] not in STATUSES:
        raise ValueError(f"status must be how a run ended, got {header['status']!r:.40}")
    _typed(header["run"], PARAMETERS, "run.")
    for place in ("problem", "start", "solver"):
        if not header["run"][place]:
            raise ValueError(f"run.{place} must not be empty")
    _words(header["run"]["observables"], "run.observables")
    _check_seeds(header["run"]["seeds"], "run.seeds")
    _words(list(header["versions"].values()), "versions")
    if arrays and (TIME not in arrays or arrays[TIME].ndim != 1):
        raise ValueError("the times must be an array with one axis")
    for name, value in header["stats"].items():
        if name.endswith(ERROR) and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError(f"stats.{name} must be a number, got {value!r:.40}")
    for name, array in arrays.items():
        _check_array(name, array, len(arrays[TIME]))


def _check_array(name: str, array: NDArray[Any], times: int) -> None:
    """Numbers, and of what the library measures one for each time."""
    if array.dtype.kind not in "biufc":
        raise ValueError(f"{name} must hold numbers, got {np.dtype(array.dtype)}")
    observable = named(name)
    if observable is not None or name == RISK:
        behind = 0 if observable is None else len(observable.dims)
        if array.ndim <= behind or array.shape[array.ndim - 1 - behind] != times:
            raise ValueError(f"{name} must have {times} times, got the shape {array.shape}")


def _typed(values: Mapping[str, Any], types: Types, place: str) -> None:
    for name, kind in types.items():
        if name not in values:
            raise ValueError(f"{place}{name} is missing")
        value = values[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{place}{name} must not be a {type(value).__name__}")


def _words(values: Any, place: str) -> None:
    if not all(isinstance(value, str) for value in values):
        raise ValueError(f"{place} must hold words")


def _check_seeds(values: Any, place: str) -> None:
    if len(values) != 2 or not all(_whole(value) and value < 2**63 for value in values):
        raise ValueError(f"{place} must be two whole numbers, got {values!r:.60}")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
