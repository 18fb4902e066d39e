"""Which evaluator suits a problem and a number of neurons."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, Protocol

import numpy as np

from meanfield import checks
from meanfield.fields.base import Cost, Field, Task
from meanfield.fields.hemisphere.field import HomogeneousField
from meanfield.fields.pairs.closed import PairField
from meanfield.fields.pairs.series import SeriesField
from meanfield.fields.polynomial import PolynomialField
from meanfield.fields.quadrature.field import DirectField
from meanfield.fields.slices.field import SliceField
from meanfield.problem import Problem, with_unit_second_rate
from meanfield.states import ParticleMeasure


class Evaluator(Protocol):
    """A class that makes fields, as the choice between such classes sees it."""

    @property
    def name(self) -> str:
        """By which it is asked for."""

    def cost(self, task: Task) -> Cost | None:
        """What it would take and come to; None if it does not serve the problem."""

    def __call__(self, problem: Problem, tolerance: float | None = None, /) -> Field:
        """A field, not laid out yet."""


KINDS: tuple[Evaluator, ...] = (
    PolynomialField, PairField, HomogeneousField, SliceField, SeriesField, DirectField,
)  # fmt: skip
EVALUATORS: dict[str, Evaluator] = {kind.name: kind for kind in KINDS}
AUTO = "auto"
# seconds a right-hand side may take before a cheaper evaluator is worth its error
PATIENCE = 2.0
INSTANT = 1e-3  # and so many before a cheaper one is worth an error that is larger, if small
GOOD = 1e-5  # relative error that counts as accurate


def check_evaluator(evaluator: Any) -> str:
    """The name of an evaluator, or "auto", which None means too."""
    return checks.option(AUTO if evaluator is None else evaluator, "evaluator", (AUTO, *EVALUATORS))


def choose_field(
    problem: Problem,
    measure: ParticleMeasure,
    evaluator: str | None = AUTO,
    *,
    many_values: bool = False,
    tolerance: float | None = None,
    still: bool = False,
) -> Field:
    """An evaluator for this problem and measure, laid out for it.

    By name, or the cheapest that is accurate. `many_values` says that risks or variances will be
    asked for as often as velocities; `tolerance` is the relative error of the velocities to aim at
    (None: what each reaches); `still` that they will be asked for of this state alone.

    Raises
    ------
    TypeError, ValueError
        If the measure lives in a subspace of another dimension than the problem's, or the evaluator
        is none or does not serve the problem.
    """
    problem, k = with_unit_second_rate(problem), problem.subspace_dim
    if measure.k != k:
        raise ValueError(
            f"measure must have u of shape (n, {k}) for this problem, got {measure.u.shape}"
        )
    with np.errstate(over="ignore"):
        furthest = math.sqrt(float((measure.u**2).sum(axis=1).max()))
    many_values = many_values or problem.second_layer_rate > 0.0
    longest = float(measure.r.max())
    task = Task(problem, measure.n, furthest, longest, many_values, tolerance)
    field = make_field(task, evaluator)
    field.prepare(measure, still=still)
    return field


def make_field(
    task: Task, evaluator: str | None = AUTO, among: Collection[str] = EVALUATORS
) -> Field:
    """The evaluator of a name, or the one to choose, not laid out yet; of some if not of all."""
    costs = {name: cost for name in among if (cost := EVALUATORS[name].cost(task)) is not None}
    evaluator = check_evaluator(evaluator)
    if not costs or evaluator not in (AUTO, *costs):
        problem, serve = task.problem, " or ".join(map(repr, costs)) or "none here"
        raise ValueError(
            f"evaluator must be one that serves a student {problem.student.name} under this "
            f"target at k = {problem.subspace_dim}, which is {serve}, got {evaluator!r}"
        )
    name = cheapest(costs, task.tolerance) if evaluator == AUTO else evaluator
    return EVALUATORS[name](task.problem, task.tolerance)


def cheapest(costs: dict[str, Cost], tolerance: float | None) -> str:
    """Of those that reach the tolerance in reasonable time the cheapest, else the most accurate.

    Among those that take no time to speak of the most accurate, too. One without any error goes
    before all others, and quadrature, which serves any problem, after.
    """
    wanted = GOOD if tolerance is None else tolerance
    exact = [name for name, cost in costs.items() if cost.error == 0.0]
    quick = [name for name, cost in costs.items() if cost.seconds < PATIENCE]
    quick = exact or quick or [min(costs, key=lambda name: costs[name].seconds)]
    best = min(costs[name].error for name in quick)
    accurate = [name for name in quick if costs[name].error <= max(wanted, best)]

    def order(name: str) -> tuple[bool, float, float, float]:
        seconds, error = costs[name]
        return name == DirectField.name, max(seconds, INSTANT), error, seconds

    return min(accurate, key=order)
