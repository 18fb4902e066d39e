"""Population risk of a state of any kind."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from meanfield import checks
from meanfield.dynamics.overlaps.averages import OverlapAverages
from meanfield.dynamics.registry import knows_risk
from meanfield.dynamics.run import check_gram
from meanfield.fields import check_evaluator, choose_field
from meanfield.kernels.activations.units import SQUARE
from meanfield.kernels.dynamics.sgd.step import square_risk
from meanfield.problem import Problem
from meanfield.states import Overlaps, ParticleMeasure, Weights
from meanfield.targets import units_of


@knows_risk
def population_risk(
    problem: Problem, state: ParticleMeasure | Overlaps | Weights, *, evaluator: str | None = "auto"
) -> float:
    """R = ½ E (f − f*)², label noise not included.

    Parameters
    ----------
    problem : Problem
        For weights and overlaps only its target and activation matter.
    state : ParticleMeasure, Overlaps or Weights
        A measure stands for infinite width: pairs of neurons meet at every perpendicular angle.
    evaluator : str
        How a measure's field is evaluated; see `solve_mean_field`.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        If the state is none of these or does not belong to the problem, or has neurons so long that
        no digit of the risk is known.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> silent = mf.ParticleMeasure(a=[0.0], u=[[0.0]], r=[1.0])
    >>> round(mf.population_risk(problem, silent), 6)  # ½ E f*², and E erf(z/√2)² = 1/3
    0.166667
    """
    checks.instance(problem, "problem", Problem)
    evaluator = check_evaluator(evaluator)
    try:
        risk = _risk(problem, state, evaluator)
    except FloatingPointError:  # of tables that end before these neurons do
        risk = math.nan
    if math.isnan(risk):
        raise ValueError(
            f"state must have neurons that averages of {problem.student.name} can follow, got "
            f"lengths |w|/√d up to {_longest(state):.3g}, at which no digit of the risk is known"
        )
    return risk


def _risk(problem: Problem, state: Any, evaluator: str) -> float:
    if isinstance(state, Weights):
        return _risk_of_weights(problem, state)
    if isinstance(state, Overlaps):
        check_gram(problem, state.P, "overlaps")
        averages = OverlapAverages(problem)
        # a writable copy, which is how kernels want it; see `ParticleMeasure.arrays`
        return averages.risk(np.array(state.Q), state.M, state.a, with_error=False)[0]
    if not isinstance(state, ParticleMeasure):
        raise TypeError(
            "state must be a ParticleMeasure, Overlaps or Weights, got " + type(state).__name__
        )
    return choose_field(problem, state, evaluator).risk(*state.arrays())


def _longest(state: ParticleMeasure | Overlaps | Weights) -> float:
    """The largest |w|/√d."""
    if isinstance(state, Weights):
        return float(np.sqrt((state.W**2).sum(axis=1).max() / state.dim))
    if isinstance(state, Overlaps):
        return float(np.sqrt(np.diag(state.Q).max()))
    return float(np.sqrt((state.u**2).sum(axis=1) + state.r**2).max())


def _risk_of_weights(problem: Problem, weights: Weights) -> float:
    W, W_star, a, d = weights.W, weights.W_star, weights.a, weights.dim
    check_gram(problem, np.asarray(W_star @ W_star.T / d), "weights")
    units = units_of(problem.target)
    squares = units is not None and problem.student.code == units.link.code == SQUARE
    if units is None or not squares or d >= len(a):
        averages = OverlapAverages(problem)
        return averages.risk(W @ W.T / d, W @ W_star.T / d, a, with_error=False)[0]
    # ε is a quadratic form of the inputs: d² numbers in place of the p² overlaps
    risk = square_risk(W, W_star, a, np.asarray(units.weights))
    return risk if math.isfinite(risk) else math.nan
