"""Which evaluator suits a problem and a number of neurons."""

from __future__ import annotations

import math

import numpy as np

from meanfield.fields.base import Field
from meanfield.fields.layouts import slice_size
from meanfield.fields.moments import MomentField
from meanfield.fields.pairs import PairField, overlap_rule
from meanfield.fields.slices import HEADROOM, SliceField
from meanfield.problem import Problem
from meanfield.states import ParticleMeasure

# seconds on one core, rough: only their ratio decides, and either choice is accurate
PAIR_COST = {"erf": 3e-9, "relu": 2e-8}
SLICE_COST = {1: 5e-8, 2: 2.5e-7, 3: 1e-7}  # of a neuron, by k; at k = 3 along each direction
NODE_COST = 2e-10  # of a mesh point seen from a node along a direction
LAYOUT_COST = 1e-8  # of the same when laid out, shared by a hundred evaluations
SLICE_OVERHEAD = 1e-3  # of the kernels' calls
VALUE_COST = 6.0  # of the potential of a pair, an arcsine, over that of its slopes
# with a kink and two or more directions, slices converge slowly: pairs up to here; k > 3 always
KINKED_PAIRS = 4000


def choose_field(problem: Problem, measure: ParticleMeasure, *, many_values: bool = False) -> Field:
    """The cheapest evaluator that is accurate for this problem and measure, laid out for it.

    `many_values` says that risks or variances will be asked for as often as velocities.

    Raises
    ------
    ValueError
        If the measure lives in a subspace of another dimension than the problem's.
    """
    k, n = problem.subspace_dim, measure.n
    if measure.k != k:
        raise ValueError(
            f"measure must have u of shape (n, {k}) for this problem, got {measure.u.shape}"
        )
    with np.errstate(over="ignore"):
        u_max = math.sqrt(float((measure.u**2).sum(axis=1).max()))
    many_values = many_values or problem.second_layer_rate > 0.0
    field = _pick(problem, n, u_max, float(measure.r.max()), many_values)
    field.prepare(measure)
    return field


def _pick(problem: Problem, n: int, u_max: float, r_max: float, many_values: bool) -> Field:
    k = problem.subspace_dim
    problem.refuse_beyond("the mean field has no evaluator yet for it")
    if problem.activation == "square":
        return MomentField(problem)
    kinked = not (problem.student.smooth and problem.committee.link.smooth)
    if k > 3 or (k > 1 and kinked and n <= KINKED_PAIRS):
        return PairField(problem)
    Z, _ = overlap_rule(problem.perpendicular_dim, r_max, smooth=problem.student.smooth)
    pairs = n * n * len(Z) * PAIR_COST[problem.student.name] * (VALUE_COST if many_values else 1.0)
    if not problem.student.smooth:  # homogeneous: its mesh does not know lengths
        u_max = r_max = 1.0
    reach = 1.0 + HEADROOM * u_max, 1.0 + HEADROOM * r_max
    directions, points = slice_size(k, *reach, problem.perpendicular_dim)
    neurons = n * SLICE_COST[k] * (directions if k == 3 else 1.0)
    slices = SLICE_OVERHEAD + neurons + points * (LAYOUT_COST + directions * NODE_COST)
    return PairField(problem) if pairs <= slices else SliceField(problem)
