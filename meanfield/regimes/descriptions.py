"""The descriptions of one run: their names, their common start, and the risk that they share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.solution import Solution
from meanfield.problem import Problem
from meanfield.starts import gaussian_overlaps, gaussian_weights
from meanfield.states import Overlaps, Weights, check_state

TITLES = {
    "sgd": "SGD",
    "overlap_ode": "overlap ODE",
    "gradient_flow": "overlap gradient flow",
    "mean_field": "mean field at d",
    "mean_field_infinite": "mean field at d = ∞",
}
# what a description leaves out beyond the one before it
LEFT_OUT = {
    "overlap_ode": "fluctuations of SGD",
    "gradient_flow": "SGD term",
    "mean_field": "finite width",
    "mean_field_infinite": "finite dimension",
}
# entries of W above which overlaps are drawn from their law instead
WEIGHTS_THAT_FIT = 10**7


def run_start(
    problem: Problem, p: int, start: Any, scale: float, seed: int, *, in_law: bool
) -> Weights | Overlaps:
    """The start given, checked, or w ~ N(0, scale² I_d): weights, or overlaps if `in_law`."""
    if start is None:
        fits = math.isfinite(problem.dim) and p * problem.dim <= WEIGHTS_THAT_FIT
        if in_law and not fits:
            return gaussian_overlaps(problem, p, scale, seed)
        start = gaussian_weights(problem, p, scale, seed)
    check_state(start, "start", Weights, Overlaps)
    if len(start.a) != p:
        raise ValueError(f"start must have the width of {p} neurons, got {len(start.a)}")
    if not in_law and not isinstance(start, Weights):
        raise TypeError("start must be Weights to run SGD in R^d, got Overlaps")
    return start.overlaps() if in_law and isinstance(start, Weights) else start


def mean_risk(solution: Solution) -> NDArray[np.float64]:
    """The risk (T,); of SGD, the mean over its runs."""
    return solution.risk if solution.risk.ndim == 1 else solution.risk.mean(axis=0)
