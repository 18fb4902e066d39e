"""A concentration study as plain text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from meanfield.studies.tables import aligned, number

if TYPE_CHECKING:
    from meanfield.studies.result import ConcentrationStudy

COLUMNS = {
    "risk": "risk",
    "energy": "energy in subspace",
    "leak": "leak",
    "wasserstein": "W2 to d = ∞",
}
RATES = {
    "leak": "leak",
    "risk": "|risk − risk at d = ∞|",
    "perpendicular": "perpendicular overlaps",
    "wasserstein": "W2 to the law at d = ∞",
}
LIMITS = ("risk", "energy")
NOTHING = 1e-16  # of E f*²: squares of what is lost to rounding


def study_table(study: ConcentrationStudy) -> str:
    """One line a case with standard errors over replicas, then the fitted slopes and limits."""
    finite = sorted(p for p in set(study.widths.tolist()) if math.isfinite(p))
    titles = (["p"] if finite else []) + ["d", *COLUMNS.values()]
    rows = [titles]
    for i, (width, dim) in enumerate(zip(study.widths, study.dims, strict=True)):
        row = ([number(width)] if finite else []) + [number(dim)]
        for name in COLUMNS:
            value, error = study.final(name)[i], study.sampling_error[name][i]
            row.append(_with_error(float(value), float(error)))
        rows.append(row)
    lines = aligned(rows)
    for width in finite or [math.inf]:
        lines += ["", *_fits(study, width)]
    lines.append("(±: standard error over replicas of the start)")
    lines.extend(f"note: {message}" for message in (*study.messages, *study.notes))
    return "\n".join(lines)


def study_notes(study: ConcentrationStudy) -> list[str]:
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
            dims = ", ".join(map(number, study.dims[empty]))
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
