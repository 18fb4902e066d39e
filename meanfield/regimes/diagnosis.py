"""Which descriptions of a run hold: what each neglects, and whether that is small."""

from __future__ import annotations

import math
from dataclasses import dataclass

from meanfield import checks, display
from meanfield.problem import Problem, refuse_schedules
from meanfield.regimes.budgets import Budget
from meanfield.regimes.descriptions import TITLES


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
        problem, p, d = self.problem, self.width, display.text(self.problem.dim)
        lines = [
            f"d = {d}, p = {p}, γ = {problem.learning_rate:g}: {self.regime} regime",
            f"γ/p = {self.noise_term:.2g}   γ/(p d) = {self.step:.2g}   "
            f"1/p = {self.inverse_width:.2g}   1/d = {self.inverse_dim:.2g}",
            "",
        ]
        table = [("description", "holds", "largest neglected", "everything neglected")]
        for one in self.descriptions:
            verdict = ("yes" if one.holds else "no") if one.exists else "–"
            sizes = ", ".join(f"{part.formula} = {part.size:.2g}" for part in one.neglects)
            largest = f"{one.size:.2g}" if one.neglects else ("nothing" if one.exists else "–")
            table.append((one.title, verdict, largest, sizes or "–"))
        notes = [f"{one.title}: {one.note}" for one in self.descriptions if one.note]
        closing = (
            f"holds: every size neglected is at most {self.tolerance:g}; "
            "sizes carry factors of order one"
        )
        return "\n".join([*lines, *display.columns(table, str.ljust), "", closing, *notes])

    def _repr_html_(self) -> str:
        return display.printed(self)


def diagnose(
    problem: Problem, width: int, *, tolerance: float = 0.1, budget: Budget | None = None
) -> Diagnosis:
    """Say which descriptions of a run hold, and what each neglects.

    Parameters
    ----------
    problem : Problem
        d (may be infinite), γ (may be 0) and the variance Δ of the label noise are read from it.
    width : int
        p ≥ 1, the number of neurons.
    tolerance : float
        A description holds if each size it neglects is at most this, > 0.
    budget : Budget, optional
        Of this problem and width, from `regimes.budget`: the notes then quote what was computed.

    Returns
    -------
    Diagnosis

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; the message names it.

    Notes
    -----
    The overlap ODE leaves out the fluctuations of SGD, √(γ/(p d)); gradient flow also the term
    γ/p ⟨a_i a_j σ'(λ_i) σ'(λ_j) (ε² + Δ)⟩; the mean field also the finite width, a bias 1/p and a
    spread 1/√p over starts; the mean field at d = ∞ also 1/d. Δ above 1 multiplies γ/p. At a
    temperature τ neurons diffuse each on its own: overlaps spread by √(2τ) and lengths |w|²/d by
    τ√(8d) in a unit of time, at any d; of that the mean field leaves out what p draws spread.
    Sizes are at times of order one and up to factors of order one, which depend on the target: to
    measure the differences themselves use `compare`. While a run leaves a plateau, any difference
    grows exponentially in t.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=1000, learning_rate=2.0)
    >>> diagnosis = diagnose(problem, width=4)
    >>> diagnosis.holding, diagnosis.regime
    (('sgd', 'overlap_ode'), 'high-dimensional')
    """
    refuse_schedules(checks.instance(problem, "problem", Problem), "a diagnosis")
    p = checks.integer(width, "width")
    tolerance = checks.real(tolerance, "tolerance", above=0.0)
    ratio = problem.learning_rate / p
    step = ratio / problem.dim
    if budget is not None and (budget.problem, budget.width) != (problem, p):
        raise ValueError(
            f"budget must be of this problem and width {p}, got one of d = {budget.problem.dim:g}, "
            f"γ = {budget.problem.learning_rate:g}, width {budget.width}"
        )
    label = max(1.0, problem.target.noise)
    mark = " Δ" if label > 1.0 else ""
    missing = _missing("sgd", problem)
    shared = [Neglected("fluctuations of SGD", f"√(γ{mark}/(p d))", math.sqrt(step * label))]
    rows = [Description("sgd", TITLES["sgd"], not missing, not missing, (), missing)]
    thermal, spread = _of_temperature(problem, p)
    of_width = [
        Neglected("finite width, spread", "1/√p", 1.0 / math.sqrt(p)),
        Neglected("finite width, bias", "1/p", 1.0 / p),
    ]
    for name, added in (
        ("overlap_ode", thermal),
        ("gradient_flow", [Neglected("SGD term", f"γ{mark}/p", ratio * label)]),
        ("mean_field", of_width + spread),
        ("mean_field_infinite", [Neglected("finite dimension", "1/d", 1.0 / problem.dim)]),
    ):
        kept = shared if name.endswith(("ode", "flow")) else [s for s in shared if s not in thermal]
        shared = sorted([*kept, *added], key=lambda one: -one.size)
        missing = _missing(name, problem)
        holds = not missing and all(one.size <= tolerance for one in shared)
        note = missing or _note(name, problem, ratio * label)
        if budget is not None and name in budget.solutions:
            share = f"{budget.share(name):.2g} of the largest risk, up to t = {budget.t[-1]:g}"
            note = f"{note}; computed: {share}" if note else f"computed: {share}"
        rows.append(Description(name, TITLES[name], not missing, holds, tuple(shared), note))
    return Diagnosis(
        problem, p, tolerance, ratio, step, math.sqrt(step), 1.0 / p, 1.0 / problem.dim,
        tuple(rows),
    )  # fmt: skip


def _of_temperature(problem: Problem, p: int) -> tuple[list[Neglected], list[Neglected]]:
    """What overlaps that move as their means leave out in a unit of time, and a law of neurons."""
    tau, decay, d = problem.temperature, problem.weight_decay, problem.dim
    if tau == 0.0:
        return [], []
    size = math.sqrt(2.0 * tau)
    thermal = [Neglected("fluctuations of the temperature", "√(2τ)", size)]
    if math.isfinite(d):
        since = -math.expm1(-2.0 * decay) / decay if decay > 0.0 else 2.0
        what = "of the lengths, less weight decay"
        thermal.append(Neglected(what, "τ√(8d)", tau * math.sqrt(2.0 * d) * since))
    return thermal, [Neglected("spread of the temperature", "√(2τ/p)", size / math.sqrt(p))]


def _missing(name: str, problem: Problem) -> str:
    """Why a description does not exist; empty if it does."""
    if name == "sgd":
        if math.isinf(problem.dim):
            return "needs a finite d; its limit is the overlap ODE"
        return "" if problem.learning_rate > 0.0 else "needs γ > 0; its limit is gradient flow"
    if problem.temperature == 0.0:
        return ""
    if name == "mean_field_infinite":
        return "has no Langevin noise: needs temperature = 0"
    if math.isinf(problem.dim):
        return "needs a finite d at a temperature: |w|²/d gains 2τd a unit of time"
    return ""


def _note(name: str, problem: Problem, noise: float) -> str:
    """What a reader of the row should know beside its sizes."""
    if name == "overlap_ode" and problem.learning_rate == 0.0:
        return "γ = 0: the same as gradient flow"
    if name == "overlap_ode" and noise >= 1.0:
        return "the SGD term is as large as the drift: learning may stop or diverge"
    if name == "mean_field" and math.isinf(problem.dim):
        return "d = ∞: the same as the next row"
    return ""
