"""What studies found, as text for people: means over replicas with their standard errors."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield import display
from meanfield.dynamics.checkpoint import machine
from meanfield.studies.observables import ERROR
from meanfield.studies.power_laws import Limit, Rate
from meanfield.studies.run import NOT_MADE, Record

Array = NDArray[np.float64]

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


def mean_over_replicas(values: Array) -> Array:
    """Over the replicas, axis 1, that there are."""
    there = np.isfinite(values)
    total = np.where(there, values, 0.0).sum(axis=1)
    count = there.sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), math.nan)


def standard_error(values: Array) -> Array:
    """Of the mean over the replicas, axis 1, that there are; NaN of a single one."""
    count = np.isfinite(values).sum(axis=1)
    squares = (values - np.expand_dims(mean_over_replicas(values), 1)) ** 2
    variance = np.where(np.isfinite(squares), squares, 0.0).sum(axis=1) / np.maximum(count - 1, 1)
    return np.where(count > 1, np.sqrt(variance / np.maximum(count, 1)), math.nan)


def _cell(value: Any, error: Any) -> str:
    if math.isnan(value):
        return "–"
    text = f"{value:.5g}"
    return text if math.isnan(error) else f"{text} ± {error:.0e}"


def table_of_means(rows: Sequence[Mapping[str, Any]], axes: Sequence[str]) -> list[str]:
    """One line for each point of the grid, of the rows that runs have in a study's table."""
    values = [
        name for name in dict.fromkeys(key for row in rows for key in row)
        if name not in (*axes, *HIDDEN, "status")
    ]  # fmt: skip
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in axes), []).append(row)
    lines = [[*axes, *values, "runs"]]
    for place, members in groups.items():
        made = [row for row in members if row["status"] not in ("failed", "missing")]
        cells = [_summary(name, [row[name] for row in made if name in row]) for name in values]
        count = f"{len(made)}/{len(members)}" if len(made) < len(members) else str(len(made))
        lines.append([*(display.text(item) for item in place), *cells, count])
    return display.columns(lines)


def _summary(name: str, values: list[float]) -> str:
    """Mean and standard error; of an error estimate the largest."""
    if not values:
        return "–"
    if name.endswith(ERROR):
        return f"{max(values):.0e}"
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return _cell(float(np.mean(values)), spread / math.sqrt(len(values)))


def ends(records: Sequence[Record]) -> str:
    """How many runs have each status, in words."""
    counts = sorted(Counter(record.status for record in records).items())
    return ", ".join(f"{count} {status}" for status, count in counts)


def notes_on_runs(records: Sequence[Record]) -> list[str]:
    """What is to be known of the runs beside their numbers, one line each."""
    notes = ["(values at the final time, ± standard error over replicas)"]
    versions = {record.versions["meanfield"] for record in records if record.versions}
    if len(versions) > 1:
        notes.append(f"note: made by several versions of the library: {', '.join(versions)}")
    for name in machine():
        found = {record.versions.get(name, "") for record in records if record.versions}
        if len(found) > 1:
            said = ", ".join(sorted(one or "unknown" for one in found))
            notes.append(f"note: runs differ in their {name}, and so in rounding: {said}")
    for record in records:
        if record.made and record.status != "success":
            notes.append(f"note: run {record.key[:12]}: {record.status}, {record.message}")
    for record in records:
        if record.status == "missing" and record.message != NOT_MADE:
            notes.append(f"not made: run {record.key[:12]}: {record.message}")
    failures = [record for record in records if record.traceback]
    for record in failures[:SHOWN_FAILURES]:
        notes.append(f"failed: run {record.key[:12]}: {record.message}")
    if len(failures) > SHOWN_FAILURES:
        notes.append(f"failed: {len(failures) - SHOWN_FAILURES} more")
    return notes


def table_of_cases(
    widths: Array, dims: Array, values: Mapping[str, Array], errors: Mapping[str, Array]
) -> list[str]:
    """One line for each width and dimension of a concentration study."""
    networks = bool(np.isfinite(widths).any())
    rows = [(["p"] if networks else []) + ["d", *COLUMNS.values()]]
    for i, (width, dim) in enumerate(zip(widths.tolist(), dims.tolist(), strict=True)):
        place = [width, dim] if networks else [dim]
        cells = [_cell(values[name][i], errors[name][i]) for name in COLUMNS]
        rows.append([*map(display.text, place), *cells])
    return display.columns(rows)


def fits_at(
    width: float, rate: Callable[..., Rate], extrapolate: Callable[..., Limit]
) -> list[str]:
    """Slopes in d and limits at one width."""
    where = "" if math.isinf(width) else f" at p = {width:g}"
    lines = [f"fitted slope in log d{where}, with a 95 % interval:"]
    for name, title in RATES.items():
        try:
            found = rate(name, at=width)
            lines.append(f"  {title:<24} {found}   R² = {found.r_squared:.6f}")
        except ValueError as error:
            lines.append(f"  {title:<24} not fitted: {error}")
    for name in LIMITS:
        try:
            lines.append(f"  {name + ' as d → ∞':<24} {extrapolate(name, at=width)}")
        except ValueError as error:
            lines.append(f"  {name + ' as d → ∞':<24} not extrapolated: {error}")
    return lines
