"""The common start of several descriptions, and what they all have of their neurons."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.dynamics.solution import Solution
from meanfield.problem import Problem
from meanfield.starts import gaussian_weights
from meanfield.states import Overlaps, Weights

# entries of W above which overlaps are drawn from their law instead
WEIGHTS_THAT_FIT = 10**7


def run_start(
    problem: Problem, p: int, start: Any, scale: float, seed: int, *, in_law: bool
) -> Weights | Overlaps:
    """The start given, checked, or w ~ N(0, scale² I_d): weights, or overlaps if `in_law`."""
    if start is None:
        fits = math.isfinite(problem.dim) and p * problem.dim <= WEIGHTS_THAT_FIT
        if in_law and not fits and p <= problem.perpendicular_dim:
            return gaussian_overlaps(problem, p, scale, seed)
        start = gaussian_weights(problem, p, scale, seed)
    if not isinstance(start, Weights | Overlaps):
        raise TypeError(f"start must be Weights or Overlaps, got {type(start).__name__}")
    if len(start.a) != p:
        raise ValueError(f"start must have the width of {p} neurons, got {len(start.a)}")
    if not in_law and not isinstance(start, Weights):
        raise TypeError("start must be Weights to run SGD in R^d, got Overlaps")
    return start.overlaps() if in_law and isinstance(start, Weights) else start


def gaussian_overlaps(problem: Problem, p: int, scale: float = 1.0, seed: int = 0) -> Overlaps:
    """Overlaps of w ~ N(0, scale² I_d), a = 1, drawn without the weights.

    The perpendicular parts of p Gaussian vectors have a triangular factor of independent entries:
    normals below the diagonal and χ with D, D − 1, … degrees of freedom on it (Bartlett). At
    d = ∞ every overlap is certain: Q = scale² I, M = 0.

    Parameters
    ----------
    problem : Problem
        With d = ∞, or D ≥ p directions outside the principal subspace.
    p : int
        Width.
    scale : float
        Standard deviation of a weight, > 0.
    seed : int
        Seed of the draw, ≥ 0.

    Returns
    -------
    Overlaps

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.
    """
    checks.instance(problem, "problem", Problem)
    p = checks.integer(p, "p")
    scale = checks.real(scale, "scale", above=0.0)
    seed = checks.integer(seed, "seed", minimum=0)
    k, d, D = problem.subspace_dim, problem.dim, problem.perpendicular_dim
    origin = {"start": "gaussian", "scale": scale, "seed": seed, "drawn": "overlaps"}
    P, a = np.asarray(problem.target.gram), np.ones(p)
    if math.isinf(d):
        return Overlaps(scale**2 * np.eye(p), np.zeros((p, len(P))), P, a, origin=origin)
    if p > D:
        raise ValueError(f"p must be at most d − k = {D:g} to draw overlaps, got {p}")
    rng = np.random.default_rng(seed)
    u = rng.standard_normal((p, k)) * (scale / math.sqrt(d))
    lower = np.tril(rng.standard_normal((p, p)), -1)
    np.fill_diagonal(lower, np.sqrt(rng.chisquare(D - np.arange(p))))
    lower *= scale / math.sqrt(d)
    M = u @ problem.target.basis.T
    return Overlaps(u @ u.T + lower @ lower.T, M, P, a, origin=origin)


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
