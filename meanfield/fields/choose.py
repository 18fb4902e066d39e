"""Which evaluator suits a problem and a number of neurons."""

from __future__ import annotations

import math

from meanfield.fields.base import Field
from meanfield.fields.moments import MomentField
from meanfield.fields.pairs import PairField, overlap_rule
from meanfield.fields.slices import SliceField
from meanfield.problem import Problem
from meanfield.states import ParticleMeasure

# seconds on one core, rough: only their ratio decides, and either choice is accurate
PAIR_COST = {"erf": 3e-9, "relu": 2e-8}
SLICE_COST = 1.5e-7
SLICE_OVERHEAD = 1e-2
# with a kink and two or more directions, slices converge slowly: pairs up to here
KINKED_PAIRS = 4000


def choose_field(problem: Problem, measure: ParticleMeasure) -> Field:
    """The cheapest evaluator that is accurate for this problem and measure, laid out for it.

    Raises
    ------
    ValueError
        If the measure lives in a subspace of another dimension than the problem's, or k > 3 and n
        is too large for pairs.
    """
    k, n = problem.subspace_dim, measure.n
    if measure.k != k:
        raise ValueError(
            f"measure must have u of shape (n, {k}) for this problem, got {measure.u.shape}"
        )
    field = _pick(problem, k, n, float(measure.r.max()))
    field.prepare(measure)
    return field


def _pick(problem: Problem, k: int, n: int, r_max: float) -> Field:
    if problem.activation == "square":
        return MomentField(problem)
    kinked = not (problem.student.smooth and problem.target.link.smooth)
    if k > 3 or (k > 1 and kinked and n <= KINKED_PAIRS):
        return PairField(problem)
    Z, _ = overlap_rule(problem.perpendicular_dim, r_max, smooth=problem.student.smooth)
    values = 6.0 if problem.second_layer_rate > 0.0 else 1.0  # Φ itself costs an arcsine a pair
    pairs = n * n * len(Z) * PAIR_COST[problem.activation] * values
    directions = {1: 1, 2: 32, 3: 300}[k]
    slices = n * directions * SLICE_COST + SLICE_OVERHEAD * math.sqrt(directions)
    return PairField(problem) if pairs <= slices else SliceField(problem)
