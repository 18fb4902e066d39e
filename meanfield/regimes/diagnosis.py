"""What each description of a run neglects, and whether that is small."""

from __future__ import annotations

import math

from meanfield import checks
from meanfield.problem import Problem, refuse_schedules
from meanfield.regimes.budgets import Budget
from meanfield.regimes.verdicts import TITLES, Description, Diagnosis, Neglected


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
    exists = problem.learning_rate > 0.0 and math.isfinite(problem.dim)
    shared = [Neglected("fluctuations of SGD", f"√(γ{mark}/(p d))", math.sqrt(step * label))]
    rows = [Description("sgd", TITLES["sgd"], exists, exists, (), _sgd_note(problem))]
    heat, spread = _of_temperature(problem, p)
    for name, added in (
        ("overlap_ode", heat),
        ("gradient_flow", [Neglected("SGD term", f"γ{mark}/p", ratio * label)]),
        (
            "mean_field",
            [
                Neglected("finite width, spread", "1/√p", 1.0 / math.sqrt(p)),
                Neglected("finite width, bias", "1/p", 1.0 / p),
                *spread,
            ],
        ),
        ("mean_field_infinite", [Neglected("finite dimension", "1/d", 1.0 / problem.dim)]),
    ):
        kept = shared if name.endswith(("ode", "flow")) else [s for s in shared if s not in heat]
        shared = sorted([*kept, *added], key=lambda one: -one.size)
        missing = _missing(name, problem)
        holds = not missing and all(one.size <= tolerance for one in shared)
        note = missing or _note(name, problem, ratio * label)
        if budget is not None and name in budget.solutions:
            note = "; ".join(part for part in (note, _computed(name, budget)) if part)
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
    heat = [Neglected("fluctuations of the temperature", "√(2τ)", size)]
    if math.isfinite(d):
        since = -math.expm1(-2.0 * decay) / decay if decay > 0.0 else 2.0
        what = "of the lengths, less weight decay"
        heat.append(Neglected(what, "τ√(8d)", tau * math.sqrt(2.0 * d) * since))
    return heat, [Neglected("spread of the temperature", "√(2τ/p)", size / math.sqrt(p))]


def _sgd_note(problem: Problem) -> str:
    if math.isinf(problem.dim):
        return "needs a finite d; its limit is the overlap ODE"
    return "" if problem.learning_rate > 0.0 else "needs γ > 0; its limit is gradient flow"


def _missing(name: str, problem: Problem) -> str:
    """Why a description other than SGD does not exist; empty if it does."""
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


def _computed(name: str, budget: Budget) -> str:
    share = budget.share(name)
    return f"computed: {share:.2g} of the largest risk, up to t = {float(budget.t[-1]):g}"
