"""Which evaluator suits a problem and a number of neurons."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from meanfield.fields.base import Field
from meanfield.fields.hemisphere.field import HomogeneousField
from meanfield.fields.moments import MomentField
from meanfield.fields.pairs.closed import PairField, has_pair_forms, overlap_rule
from meanfield.fields.pairs.series import SeriesField
from meanfield.fields.polynomial import PolynomialField
from meanfield.fields.quadrature.field import POWERS, DirectField
from meanfield.fields.slices.field import HEADROOM, SliceField
from meanfield.fields.slices.layouts import slice_size
from meanfield.problem import Problem
from meanfield.states import ParticleMeasure
from meanfield.targets import potential_of, units_of

# seconds on one core, rough: only their ratio decides, and either choice is accurate
PAIR_COST = {"erf": 3e-9, "relu": 2e-8}
SERIES_COST = 3e-8  # of a pair and an overlap, for some sixty terms
SLICE_COST = {1: 5e-8, 2: 2.5e-7, 3: 1e-7}  # of a neuron, by k; at k = 3 along each direction
NODE_COST = 2e-10  # of a mesh point seen from a node along a direction
LAYOUT_COST = 1e-8  # of the same when laid out, shared by a hundred evaluations
SLICE_OVERHEAD = 1e-3  # of the kernels' calls
HEMISPHERE_COST = 2e-7  # of a neuron
HEMISPHERE_OVERHEAD = 2e-3  # of its mesh, and for each overlap a share in laying it out:
HEMISPHERE_LAYOUT = 1e-4
DIRECT_COST = 3e-8  # of a neuron and a node
DIRECT_NODES = {1: 1e2, 2: 2e3, 3: 3e4}  # for one ρ
VALUE_COST = 6.0  # of the potential of a pair, an arcsine, over that of its slopes
# seconds a right-hand side may take before a cheaper evaluator is worth its error
PATIENCE = 2.0
GOOD = 1e-5  # relative error that counts as accurate

Choice = tuple[float, float, Callable[[], Field]]  # seconds, error it comes to, how to make it


def choose_field(
    problem: Problem,
    measure: ParticleMeasure,
    *,
    many_values: bool = False,
    tolerance: float | None = None,
) -> Field:
    """The cheapest evaluator that is accurate for this problem and measure, laid out for it.

    `many_values` says that risks or variances will be asked for as often as velocities;
    `tolerance` is the relative error of the velocities to aim at (None: what each reaches).

    Raises
    ------
    ValueError
        If the measure lives in a subspace of another dimension than the problem's.
    """
    k = problem.subspace_dim
    if measure.k != k:
        raise ValueError(
            f"measure must have u of shape (n, {k}) for this problem, got {measure.u.shape}"
        )
    many_values = many_values or problem.second_layer_rate > 0.0
    with np.errstate(over="ignore"):
        u_max = math.sqrt(float((measure.u**2).sum(axis=1).max()))
    field = _pick(problem, measure.n, u_max, float(measure.r.max()), many_values, tolerance)
    field.prepare(measure)
    return field


def _pick(
    problem: Problem,
    n: int,
    u_max: float,
    r_max: float,
    many_values: bool,
    tolerance: float | None = None,
) -> Field:
    """Of those that reach the tolerance in reasonable time the cheapest, else the most accurate."""
    if problem.student.name == "square":
        return MomentField(problem)
    if PolynomialField.serves(problem):
        return PolynomialField(problem)
    choices = list(_choices(problem, n, u_max, r_max, many_values, tolerance))
    wanted = GOOD if tolerance is None else tolerance
    accurate = [choice for choice in choices if choice[0] < PATIENCE and choice[1] <= wanted]
    if accurate:
        return min(accurate, key=_seconds)[2]()
    choices.append(_direct(problem, n, tolerance))  # serves any problem, slowly or coarsely
    quick = [choice for choice in choices if choice[0] < PATIENCE] or [min(choices, key=_seconds)]
    accurate = [choice for choice in quick if choice[1] <= wanted] or [min(quick, key=_error)]
    return min(accurate, key=_seconds)[2]()


def _seconds(choice: Choice) -> float:
    return choice[0]


def _error(choice: Choice) -> float:
    return choice[1]


def _choices(
    problem: Problem,
    n: int,
    u_max: float,
    r_max: float,
    many_values: bool,
    tolerance: float | None,
) -> Iterator[Choice]:
    """Those that this problem has, but for direct sums."""
    k, D = problem.subspace_dim, problem.perpendicular_dim
    kinked = not (problem.student.smooth and problem.target.smooth)
    overlaps = len(overlap_rule(D, r_max, smooth=problem.student.smooth)[0])
    closed = has_pair_forms(problem)
    exact = PairField.serves(problem)
    pull = n * potential_of(problem.target, problem.student).cost if exact else 0.0
    # a smooth student under other links has its series, which need no rule over the links
    own = units_of(problem.target) is None
    if exact and (closed or own or not problem.student.smooth):
        name = "erf" if problem.student.smooth else "relu"
        each = PAIR_COST[name] * (VALUE_COST if many_values else 1.0)
        seconds = n * n * overlaps * each + pull
        yield seconds, 1e-7 if kinked else 1e-12, lambda: PairField(problem)
    if HomogeneousField.serves(problem):
        overhead = HEMISPHERE_OVERHEAD + HEMISPHERE_LAYOUT * overlaps
        seconds = overhead + n * HEMISPHERE_COST + pull
        yield seconds, 1e-7, lambda: HomogeneousField(problem, tolerance)
    elif SliceField.serves(problem):
        yield _slices(problem, n, u_max, r_max, k > 1 and kinked)
    if SeriesField.serves(problem):
        each = SERIES_COST * (1.5 if many_values else 1.0)
        yield n * n * overlaps * each, 1e-8, lambda: SeriesField(problem, tolerance)


def _direct(problem: Problem, n: int, tolerance: float | None) -> Choice:
    k, D = problem.subspace_dim, problem.perpendicular_dim
    radii = 1.0 if math.isinf(D) else 4.0 + 30.0 / math.sqrt(D)
    nodes = DIRECT_NODES.get(k, 2.0 ** POWERS[-3]) * radii
    field = DirectField(problem, tolerance)
    return n * nodes * DIRECT_COST, field.tolerance, lambda: field


def _slices(problem: Problem, n: int, u_max: float, r_max: float, hard: bool) -> Choice:
    if not problem.student.smooth:  # homogeneous: its mesh does not know lengths
        u_max = r_max = 1.0
    reach = 1.0 + HEADROOM * u_max, 1.0 + HEADROOM * r_max
    k = problem.subspace_dim
    directions, points = slice_size(k, *reach, problem.perpendicular_dim)
    neurons = n * SLICE_COST[k] * (directions if k == 3 else 1.0)
    layout = LAYOUT_COST if has_pair_forms(problem) else 10.0 * LAYOUT_COST  # a finer one beside it
    seconds = SLICE_OVERHEAD + neurons + points * (layout + directions * NODE_COST)
    if hard:  # many directions, and still a coarse answer: for when pairs take too long
        return seconds, 1e-3, lambda: SliceField(problem)
    return seconds, 1e-7, lambda: SliceField(problem)
