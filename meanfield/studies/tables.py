"""What studies found, as text for people and as values beside the arrays."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from meanfield import display
from meanfield.dynamics.checkpoint import machine
from meanfield.studies.observables import ERROR
from meanfield.studies.work import NOT_MADE

if TYPE_CHECKING:
    from meanfield.studies.concentration_result import ConcentrationStudy
    from meanfield.studies.results import StudyResults

SHOWN_FAILURES = 5
HIDDEN = ("replica", "seed", "message", "seconds", "version", "key", "t")
COLUMNS = {
    "risk": "risk",
    "energy": "energy in subspace",
    "leak": "leak",
    "perpendicular": "perp. overlaps",
    "wasserstein": "W2 to d = ∞",
}
RATES = {
    "leak": "leak",
    "risk": "|risk − risk at d = ∞|",
    "perpendicular": "perpendicular overlaps",
    "wasserstein": "W2 to the law at d = ∞",
}
LIMITS = ("risk", "energy")
EXPLANATIONS = (
    "risk: population risk ½ E(f − f*)². energy: share of the squared weights in the target's",
    "subspace. leak: share of the function's variance due to other directions. perp. overlaps:",
    "root mean square of the neurons' overlaps outside the subspace. W2: Wasserstein distance",
    "between laws of neurons. d: input dimension; p: width, where finite; t counts γ/(p d) for",
    "a step of SGD at learning rate γ. ±: standard error over replicas, draws of the start.",
)
NOTHING = 1e-16  # of E f*²: squares of what is lost to rounding


def study_text(results: StudyResults) -> str:
    """One line for each point of the grid, means over replicas ± standard error, then notes."""
    rows = results.table()
    axes = [name for name in results.axes if name != "replica"]
    values = [
        name for name in dict.fromkeys(key for row in rows for key in row)
        if name not in (*axes, *HIDDEN, "status")
    ]  # fmt: skip
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in axes), []).append(row)
    lines = [[*axes, *values, "runs"]]
    for place, members in groups.items():
        made = [row for row in members if row["status"] not in ("failed", "missing")]
        cells = [_cell(name, [row[name] for row in made if name in row]) for name in values]
        count = f"{len(made)}/{len(members)}" if len(made) < len(members) else str(len(made))
        lines.append([*(display.text(item) for item in place), *cells, count])
    study = results.study
    title = f"{study.name} ({study.hash[:12]}): {len(study.runs)} runs: {ends(results)}"
    return "\n".join([title, "", *display.columns(lines), "", *_notes(results)]).rstrip()


def ends(results: StudyResults) -> str:
    """How many runs have each status, in words."""
    return ", ".join(f"{count} {status}" for status, count in sorted(results.counts.items()))


def _notes(results: StudyResults) -> list[str]:
    notes = ["(values at the final time, ± standard error over replicas)"]
    versions = {record.versions["meanfield"] for record in results.records if record.versions}
    if len(versions) > 1:
        notes.append(f"note: made by several versions of the library: {', '.join(versions)}")
    for name in machine():
        found = {record.versions.get(name, "") for record in results.records if record.versions}
        if len(found) > 1:
            said = ", ".join(sorted(one or "unknown" for one in found))
            notes.append(f"note: runs differ in their {name}, and so in rounding: {said}")
    for record in results.records:
        if record.made and record.status != "success":
            notes.append(f"note: run {record.key[:12]}: {record.status}, {record.message}")
    for record in results.records:
        if record.status == "missing" and record.message != NOT_MADE:
            notes.append(f"not made: run {record.key[:12]}: {record.message}")
    failures = results.failures
    for record in failures[:SHOWN_FAILURES]:
        notes.append(f"failed: run {record.key[:12]}: {record.message}")
    if len(failures) > SHOWN_FAILURES:
        notes.append(f"failed: {len(failures) - SHOWN_FAILURES} more")
    return notes


def _cell(name: str, values: list[float]) -> str:
    """Mean and standard error; of an error estimate the largest."""
    if not values:
        return "–"
    if name.endswith(ERROR):
        return f"{max(values):.0e}"
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return _with_error(float(np.mean(values)), spread / math.sqrt(len(values)))


def per_run(results: StudyResults) -> dict[str, Any]:
    """Status, seed and error estimates, over the axes."""
    rows = results.table()
    shape = tuple(len(values) for values in results.axes.values())

    def over_axes(name: str, missing: Any, dtype: Any) -> NDArray[Any]:
        values = np.full(shape, missing, dtype=dtype)
        for run, row in zip(results.study.runs, rows, strict=True):
            values[run.index] = row.get(name, missing)
        return values

    found: dict[str, Any] = {
        "status": over_axes("status", "", object).astype(str),
        "seed": over_axes("seed", -1, np.int64),
        "seconds": over_axes("seconds", math.nan, np.float64),
    }
    for name in sorted({key for row in rows for key in row if key.endswith(ERROR)}):
        found[name] = over_axes(name, math.nan, np.float64)
    return found


def versions(results: StudyResults) -> list[str]:
    """Those that made the runs, each once, as text."""
    return sorted({json.dumps(r.versions, sort_keys=True) for r in results.records if r.versions})


def attributes(results: StudyResults) -> dict[str, str]:
    """The specification and the versions, as text."""
    return {
        "study": json.dumps(results.study.parameters()),
        "hash": results.study.hash,
        "versions": "; ".join(versions(results)),
    }


def concentration_text(study: ConcentrationStudy) -> str:
    """One line a case with standard errors over replicas, then the fitted slopes and limits."""
    finite = sorted(p for p in set(study.widths.tolist()) if math.isfinite(p))
    titles = (["p"] if finite else []) + ["d", *COLUMNS.values()]
    rows = [titles]
    cases = zip(study.widths.tolist(), study.dims.tolist(), strict=True)
    for i, (width, dim) in enumerate(cases):
        row = ([display.text(width)] if finite else []) + [display.text(dim)]
        for name in COLUMNS:
            value, error = study.final(name)[i], study.sampling_error[name][i]
            row.append(_with_error(float(value), float(error)))
        rows.append(row)
    lines = display.columns(rows)
    for width in finite or [math.inf]:
        lines += ["", *_fits(study, width)]
    lines += ["", *EXPLANATIONS]
    lines.extend(f"note: {message}" for message in (*study.messages, *study.notes))
    return "\n".join(lines)


def concentration_notes(study: ConcentrationStudy) -> list[str]:
    """Where a number of the study does not mean what it seems to, one line each."""
    notes = []
    for width in sorted(set(study.widths.tolist())):
        where = "" if math.isinf(width) else f" at p = {width:g}"
        rows = np.flatnonzero(study.widths == width)
        if saddle := _at_a_saddle(study, rows):
            notes.append(f"the run at d = ∞{where} stays at a saddle: {saddle}")
        size = study.problem.target.second_moment()
        empty = rows[study.final("function_energy")[rows] <= NOTHING * size]
        if len(empty):
            dims = ", ".join(map(display.text, study.dims[empty].tolist()))
            notes.append(
                f"f is 0 up to rounding at the final time in d = {dims}{where}: its leak, a ratio, "
                "means nothing"
            )
    return notes


def _at_a_saddle(study: ConcentrationStudy, rows: NDArray[np.intp]) -> str:
    """What tells that the limit's neurons do not turn while those at any d do; else nothing.

    A Gaussian start at d = ∞ has no part in the subspace, and where the residual has no linear part
    no velocity leads out of u = 0; at finite d the start's share of 1/d grows.
    """
    energy, dims = study.curves["energy"][rows], study.dims[rows]
    finite = energy[np.isfinite(dims)]
    if len(finite) < 2 or len(finite) == len(dims) or np.ptp(energy[-1]) > 1e-9:
        return ""
    gained = finite[:, -1] - finite[:, 0]
    if abs(gained[-1]) < max(1e-2, 0.5 * abs(gained[0])):
        return ""
    return (
        f"its neurons do not turn, those at d = {dims[-2]:g} gain {gained[-1]:.2g} in energy, no "
        "less than at smaller d. Distances to it do not fall with d, and their slopes mean nothing"
    )


def _fits(study: ConcentrationStudy, width: float) -> list[str]:
    """Slopes in d and limits at one width."""
    where = "" if math.isinf(width) else f" at p = {width:g}"
    lines = [f"fitted slope in log d{where}, with a 95 % interval:"]
    for name, title in RATES.items():
        try:
            rate = study.rate(name, at=width)
            lines.append(f"  {title:<24} {rate}   R² = {rate.r_squared:.6f}")
        except ValueError as error:
            lines.append(f"  {title:<24} not fitted: {error}")
    for name in LIMITS:
        try:
            lines.append(f"  {name + ' as d → ∞':<24} {study.extrapolate(name, at=width)}")
        except ValueError as error:
            lines.append(f"  {name + ' as d → ∞':<24} not extrapolated: {error}")
    return lines


def _with_error(value: float, error: float) -> str:
    if math.isnan(value):
        return "–"
    text = f"{value:.5g}"
    return text if math.isnan(error) else f"{text} ± {error:.0e}"
