"""The common start of several descriptions, and what they all have of their neurons."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.solution import Solution
from meanfield.problem import Problem
from meanfield.starts import gaussian_overlaps, gaussian_weights
from meanfield.states import Overlaps, Weights, check_state

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


def order_parameters(solution: Solution) -> NDArray[np.float64]:
    """M and the diagonal of Q at the saved times, (T, p, k + 1); of SGD, means over its runs."""
    states, basis = solution.states, solution.problem.target.basis
    if states.kind == "ParticleMeasure":
        u, r = states.varying["u"], states.varying["r"]
        M, q = u @ basis.T, (u**2).sum(axis=-1) + r**2
    else:
        M, q = states.varying["M"], np.diagonal(states.varying["Q"], axis1=-2, axis2=-1)
    both = np.concatenate((M, q[..., None]), axis=-1)
    return both.mean(axis=0) if both.ndim == 4 else both
