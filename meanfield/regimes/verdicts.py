"""The verdict on each description of a run: whether it holds, and what it neglects."""

from __future__ import annotations

import math
from dataclasses import dataclass

from meanfield import checks, display
from meanfield.problem import Problem

TITLES = {
    "sgd": "SGD",
    "overlap_ode": "overlap ODE",
    "gradient_flow": "overlap gradient flow",
    "mean_field": "mean field at d",
    "mean_field_infinite": "mean field at d = ∞",
}


@dataclass(frozen=True)
class Neglected:
    """One thing that a description leaves out.

    Attributes
    ----------
    what : str
        In words.
    formula : str
        Its size in symbols.
    size : float
        The number; the effect on an overlap or the risk is this times a factor of order one.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100, learning_rate=1.0)
    >>> for one in mf.regimes.diagnose(problem, width=4)["gradient_flow"].neglects:
    ...     print(one.formula, one.size)
    γ/p 0.25
    √(γ/(p d)) 0.05
    """

    what: str
    formula: str
    size: float


@dataclass(frozen=True)
class Description:
    """The verdict on one description.

    Attributes
    ----------
    name, title : str
        As `compare` calls it, and as a reader would.
    exists : bool
        Whether the description can be run at all: SGD needs a finite d and γ > 0, a temperature
        needs a finite d.
    holds : bool
        Whether it exists and everything it neglects is at most the tolerance.
    neglects : tuple of Neglected
        Largest first; empty for SGD itself.
    note : str
        A remark, often empty.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100, learning_rate=1.0)
    >>> one = mf.regimes.diagnose(problem, width=4)["overlap_ode"]
    >>> one.holds, one.size
    (True, 0.05)
    """

    name: str
    title: str
    exists: bool
    holds: bool
    neglects: tuple[Neglected, ...]
    note: str = ""

    @property
    def size(self) -> float:
        """The largest thing neglected, 0 for an exact description."""
        return self.neglects[0].size if self.neglects else 0.0


@dataclass(frozen=True)
class Diagnosis:
    """Which descriptions of a run hold. Printed, it is a table.

    Attributes
    ----------
    problem : Problem
    width : int
        p.
    tolerance : float
        What counts as small.
    noise_term : float
        γ/p, the size of the SGD term of the overlap ODE beside its drift.
    step : float
        γ/(p d), the time that one SGD step takes, and what it moves an overlap by.
    fluctuation : float
        √(γ/(p d)), the spread of SGD about the overlap ODE.
    inverse_width, inverse_dim : float
        1/p and 1/d.
    descriptions : tuple of Description
        From SGD to the mean field at d = ∞, each neglecting more than the one before.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100, learning_rate=1.0)
    >>> diagnosis = mf.regimes.diagnose(problem, width=4)
    >>> diagnosis.regime, diagnosis.holding
    ('high-dimensional', ('sgd', 'overlap_ode'))
    """

    problem: Problem
    width: int
    tolerance: float
    noise_term: float
    step: float
    fluctuation: float
    inverse_width: float
    inverse_dim: float
    descriptions: tuple[Description, ...]

    def __getitem__(self, name: str) -> Description:
        checks.option(name, "name", TITLES)
        return next(one for one in self.descriptions if one.name == name)

    @property
    def holding(self) -> tuple[str, ...]:
        """Names of the descriptions that hold."""
        return tuple(one.name for one in self.descriptions if one.holds)

    @property
    def regime(self) -> str:
        """Where the run sits, by the simplest description that holds.

        ``"mean-field"``, ``"classical"`` (gradient flow holds, the width matters),
        ``"high-dimensional"`` (the SGD term matters, fluctuations do not) or ``"intermediate"``
        (no deterministic description holds).
        """
        if self["mean_field"].holds:
            return "mean-field"
        if self["gradient_flow"].holds:
            return "classical"
        return "high-dimensional" if self["overlap_ode"].holds else "intermediate"

    def __str__(self) -> str:
        return _as_table(self)

    def _repr_html_(self) -> str:
        return display.printed(self)


def _as_table(diagnosis: Diagnosis) -> str:
    """A diagnosis as text: a row for each description, and what it neglects."""
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
