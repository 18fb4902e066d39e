"""A diagnosis as text: a row a description, and what it neglects."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from meanfield import display

if TYPE_CHECKING:
    from meanfield.regimes.diagnosis import Diagnosis


def as_table(diagnosis: Diagnosis) -> str:
    """Numbers, verdicts, sizes and notes."""
    problem, p = diagnosis.problem, diagnosis.width
    d = "∞" if math.isinf(problem.dim) else f"{problem.dim:g}"
    lines = [
        f"d = {d}, p = {p}, γ = {problem.learning_rate:g}: {diagnosis.regime} regime",
        f"γ/p = {diagnosis.noise_term:.2g}   γ/(p d) = {diagnosis.step:.2g}   "
        f"1/p = {diagnosis.inverse_width:.2g}   1/d = {diagnosis.inverse_dim:.2g}",
        "",
    ]
    table = [("description", "holds", "largest neglected", "everything neglected")]
    for one in diagnosis.descriptions:
        verdict = ("yes" if one.holds else "no") if one.exists else "–"
        sizes = ", ".join(f"{part.formula} = {part.size:.2g}" for part in one.neglects)
        largest = f"{one.size:.2g}" if one.neglects else ("nothing" if one.exists else "–")
        table.append((one.title, verdict, largest, sizes or "–"))
    notes = [f"{one.title}: {one.note}" for one in diagnosis.descriptions if one.note]
    closing = (
        f"holds: every size neglected is at most {diagnosis.tolerance:g}; "
        "sizes carry factors of order one"
    )
    return "\n".join([*lines, *display.columns(table, str.ljust), "", closing, *notes])
