"""A study as plain text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meanfield.studies.result import ConcentrationStudy

COLUMNS = ("risk", "energy", "leak", "wasserstein")
RATES = (
    ("leak", "leak"),
    ("risk", "|risk − risk at d = ∞|"),
    ("wasserstein", "W2 to the law at d = ∞"),
)


def study_table(study: ConcentrationStudy) -> str:
    """One line a dimension with standard errors over replicas, then the fitted slopes in d."""
    titles = ("d", "risk", "energy in subspace", "leak", "W2 to d = ∞")
    rows = []
    for i, dim in enumerate(study.dims):
        row = ["∞" if math.isinf(dim) else f"{dim:g}"]
        for name in COLUMNS:
            row.append(
                _with_error(float(study.final(name)[i]), float(study.sampling_error[name][i]))
            )
        rows.append(row)
    widths = [max(len(row[c]) for row in [list(titles), *rows]) for c in range(len(titles))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
             for row in [list(titles), *rows]]  # fmt: skip
    lines.insert(1, "-" * len(lines[0]))
    lines.append("")
    lines.append("fitted slope in log d, with a 95 % interval:")
    for name, title in RATES:
        try:
            lines.append(f"  {title:<24} {study.rate(name)}")
        except ValueError as error:
            lines.append(f"  {title:<24} not fitted: {error}")
    lines.append("(±: standard error over replicas of the random start)")
    lines.extend(f"note: {message}" for message in study.messages)
    return "\n".join(lines)


def _with_error(value: float, error: float) -> str:
    if math.isnan(value):
        return "–"
    text = f"{value:.5g}"
    return text if math.isnan(error) else f"{text} ± {error:.0e}"
