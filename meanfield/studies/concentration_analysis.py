"""What the runs of a concentration study show together."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from meanfield import transport
from meanfield._version import __version__
from meanfield.integrate import Status, linear_times
from meanfield.problem import problem_from_parameters
from meanfield.states import ParticleMeasure
from meanfield.storage import read_archive
from meanfield.studies.concentration_result import (
    CURVES,
    LAW_ARRAYS,
    STUDY_FORMAT,
    ConcentrationStudy,
)
from meanfield.studies.observables import CONCENTRATION, LAW, RISK, TIME
from meanfield.studies.plain_values import build_problem
from meanfield.studies.results import StudyResults
from meanfield.studies.run import NOT_MADE, Record
from meanfield.studies.specification import Specification
from meanfield.studies.study import read_results

OBSERVABLES = (RISK, CONCENTRATION, LAW)


def is_concentration(study: Specification) -> bool:
    """Whether a study is one that `analyse` can read."""
    return set(OBSERVABLES) <= set(study.observables) and set(study.grid) in (
        {"dim"}, {"start.p", "dim"},
    )  # fmt: skip


def analyse(results: StudyResults) -> ConcentrationStudy:
    """What the runs of a concentration study show together.

    Parameters
    ----------
    results : StudyResults
        Complete or not.

    Returns
    -------
    ConcentrationStudy

    Raises
    ------
    ValueError
        If they are not of a concentration study.
    RuntimeError
        If no run has reached its end.
    """
    study = results.study
    if not is_concentration(study):
        raise ValueError(f"{study.name!r} is no concentration study: see concentration_study")
    times = linear_times(study.solver["t_end"], study.solver["save_at"])
    runs: dict[tuple[float, float], list[Record]] = {}
    messages = []
    for record in results.records:
        if record.made and record.status != Status.SUCCESS:
            messages.append(f"{where(record)}: {record.status}, {record.message}")
        elif not record.made and record.message != NOT_MADE:
            messages.append(f"run {record.key[:12]}: {record.status}, {record.message}")
        if _reached(record, times):
            if lacking := {*CURVES, *LAW_ARRAYS[:3]} - record.arrays.keys():
                raise ValueError(f"run {record.key[:32]} lacks {', '.join(sorted(lacking))}")
            runs.setdefault(_case(record), []).append(record)
    if left := sum(record.message == NOT_MADE for record in results.records):
        messages.append(f"{left} of {len(results.records)} runs are not made yet")
    if not runs:
        raise RuntimeError("no run of the study reached its end: " + "; ".join(messages))
    cases = sorted(runs)
    laws = [[_law(record) for record in runs[case]] for case in cases]
    first = runs[cases[0]][0]
    return ConcentrationStudy(
        problem=build_problem({**first.parameters["problem"], "dim": math.inf}),
        dims=np.array([dim for _, dim in cases]),
        widths=np.array([width for width, _ in cases]),
        t=times,
        replicas={
            name: _stack([[_curve(run, name, times) for run in runs[case]] for case in cases])
            for name in CURVES
        },
        distances=_distances(cases, laws),
        laws=laws,
        parameters=_parameters(study),
        messages=messages,
    )


def _case(record: Record) -> tuple[float, float]:
    """Width and dimension of a run; both may be ∞."""
    dim = record.parameters["problem"]["dim"]
    return float(record.parameters["start"].get("p", math.inf)), float(dim)


def where(record: Record) -> str:
    """The case that a run belongs to, for people."""
    width, dim = _case(record)
    return f"d = {dim:g}" + ("" if math.isinf(width) else f", p = {width:g}")


def _reached(record: Record, times: Any) -> bool:
    """Whether a run came to the last time, or for SGD to the step nearest to it."""
    t = record.arrays.get(TIME, times[:0])
    return len(t) > 1 and bool(t[-1] >= times[-1] - 0.5 * (times[1] - times[0]))


def _curve(record: Record, name: str, times: Any) -> Any:
    """At the times asked for; SGD is recorded at whole steps beside them."""
    y = np.reshape(record.arrays[name], -1)
    t = record.arrays[TIME]
    return y if np.array_equal(t, times) else np.interp(times, t, y)


def _law(record: Record) -> ParticleMeasure:
    given = {name: record.arrays[name] for name in LAW_ARRAYS if name in record.arrays}
    start = record.parameters["start"]
    origin = {name: start[name] for name in start if name not in LAW_ARRAYS}
    return ParticleMeasure(**given, origin=origin | {"seed": record.parameters["seeds"][0]})


def _parameters(study: Specification) -> dict[str, Any]:
    start, solver = study.start, study.solver
    widths = study.grid.get("start.p")
    return {
        "version": __version__, "kind": solver["description"],
        "n": start.get("n") or start.get("p") or len(start["a"]),
        "widths": widths, "t_end": solver["t_end"],
        "scale": start.get("scale"), "seed": study.seed, "replicas": study.replicas,
        "sampling": start.get("sampling"), "rtol": solver.get("rtol"),
        "same_start": start["law"] == "given_measure",
    }  # fmt: skip


def _stack(rows: list[list[Any]]) -> Any:
    """Cases × replicas (× times), NaN where a case has fewer replicas."""
    most = max(map(len, rows))
    empty = np.full(np.shape(rows[0][0]), math.nan)
    return np.array([[*row, *[empty] * (most - len(row))] for row in rows])


def _distances(cases: list[tuple[float, float]], laws: list[list[ParticleMeasure]]) -> Any:
    """W2 of every replica to its own at d = ∞ (the only one there, in the mean field)."""
    of = dict(zip(cases, laws, strict=True))
    rows = []
    for width, dim in cases:
        limits = of.get((width, math.inf), [])
        row = []
        for i, law in enumerate(of[width, dim]):
            limit = limits[min(i, len(limits) - 1)] if limits else None
            row.append(math.nan if limit is None else float(transport.wasserstein(law, limit)))
        rows.append(row)
    return _stack(rows)


def load_study(path: str | os.PathLike[str]) -> ConcentrationStudy:
    """Read a concentration study: its store, or a file that `ConcentrationStudy.save` wrote.

    Parameters
    ----------
    path : str or path
        A folder or a file. The modules that a folder names functions in are imported.

    Returns
    -------
    ConcentrationStudy
        Of a store, what its runs so far show.

    Raises
    ------
    OSError, ValueError
        If there is nothing there, or it is damaged or no concentration study.
    RuntimeError
        If no run in a store has reached its end.

    Examples
    --------
    >>> import tempfile, meanfield as mf
    >>> target = mf.CommitteeTarget(k=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     study = mf.concentration_study(
    ...         target, [20, 40], n=20, t_end=1.0, replicas=1, store=folder
    ...     )
    ...     again = mf.load_study(folder)
    >>> bool((again.final("risk") == study.final("risk")).all())
    True
    """
    if Path(path).is_dir():
        return analyse(read_results(path))
    header, arrays = read_archive(path, STUDY_FORMAT)
    laws = [
        [
            ParticleMeasure(
                **{x: arrays[f"law{i}.{j}.{x}"] for x in LAW_ARRAYS if f"law{i}.{j}.{x}" in arrays},
                origin=origin,
            )
            for j, origin in enumerate(origins)
        ]
        for i, origins in enumerate(header["origins"])
    ]
    return ConcentrationStudy(
        problem=problem_from_parameters(header["problem"]),
        **{name: arrays[name] for name in ("dims", "widths", "t", "distances")},
        replicas={name[7:]: arrays[name] for name in arrays if name.startswith("curves.")},
        laws=laws,
        parameters=header["parameters"],
        messages=header["messages"],
    )
