"""Starts: laws and draws of the neurons at time 0."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv, ndtri

from meanfield import checks
from meanfield.problem import Problem
from meanfield.states import Overlaps, ParticleMeasure, Weights

SAMPLINGS = ("random", "antithetic", "sobol", "antithetic-sobol")


def gaussian_measure(
    problem: Problem, n: int, scale: float = 1.0, seed: int = 0, sampling: str = "random"
) -> ParticleMeasure:
    """Law of neurons drawn w ~ N(0, scale² I_d), reduced to (a, u, r), with a = 1.

    u ~ N(0, scale²/d) in each principal coordinate and r² ~ scale² χ²_D/d; at d = ∞ every neuron
    sits at u = 0, r = scale. The same seed gives the same underlying uniforms for every d (common
    random numbers), so differences between dimensions carry far less sampling error than either.

    Parameters
    ----------
    problem : Problem
    n : int
        Number of neurons.
    scale : float
        Standard deviation of a weight, > 0.
    seed : int
        Seed of the draw, ≥ 0.
    sampling : str
        ``"random"``: independent draws. ``"antithetic"``: neurons in pairs (u, r), (−u, r), so the
        mean of u is exactly 0. ``"sobol"``: a scrambled Sobol sequence, evenly spread over the
        law. ``"antithetic-sobol"``: both, the choice of the concentration study. The antithetic
        ones also rescale u to its exact second moment and r to its own.

    Returns
    -------
    ParticleMeasure
        With n neurons; n is rounded up to even when antithetic.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.
    """
    n, scale, seed = _check_draw(problem, n, "n", scale, seed)
    checks.option(sampling, "sampling", SAMPLINGS)
    k, d, D = problem.subspace_dim, problem.dim, problem.perpendicular_dim
    antithetic = sampling.startswith("antithetic")
    drawn = (n + 1) // 2 if antithetic else n
    uniforms = _uniforms(drawn, k + 1, seed, quasi=sampling.endswith("sobol"))
    xi = ndtri(uniforms[:, :k])
    # χ²_D/D by its quantile function, which tends to 1 as D grows
    r_squared = np.ones(drawn) if math.isinf(D) else gammaincinv(D / 2, uniforms[:, k]) / (D / 2)
    if antithetic:
        xi = np.concatenate((xi, -xi))
        r_squared = np.concatenate((r_squared, r_squared))
        xi /= np.sqrt((xi * xi).mean(axis=0))
        r_squared /= r_squared.mean()
    u = np.zeros_like(xi) if math.isinf(d) else scale * xi / math.sqrt(d)
    share = 1.0 if math.isinf(d) else D / d
    r = scale * np.sqrt(share * r_squared)
    origin = {"start": "gaussian", "scale": scale, "seed": seed, "sampling": sampling}
    return ParticleMeasure(np.ones(len(r)), u, r, origin=origin)


def gaussian_weights(problem: Problem, p: int, scale: float = 1.0, seed: int = 0) -> Weights:
    """Weights w ~ N(0, scale² I_d) of a network of width p, with a = 1.

    The target's rows are W* = √d B in the first coordinates, so that W* W*ᵀ/d = P exactly.

    Parameters
    ----------
    problem : Problem
        With finite d.
    p : int
        Width.
    scale : float
        Standard deviation of a weight, > 0.
    seed : int
        Seed of the draw, ≥ 0.

    Returns
    -------
    Weights

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or d is infinite.
    """
    p, scale, seed = _check_draw(problem, p, "p", scale, seed)
    if math.isinf(problem.dim):
        raise ValueError("problem must have a finite dim to draw weights in R^d, got inf")
    d = int(problem.dim)
    W = scale * np.random.default_rng(seed).standard_normal((p, d))
    W_star = np.zeros((problem.target.k, d))
    W_star[:, : problem.subspace_dim] = math.sqrt(d) * problem.target.basis
    origin: dict[str, Any] = {"start": "gaussian", "scale": scale, "seed": seed}
    return Weights(W, W_star, np.ones(p), origin=origin)


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
    p, scale, seed = _check_draw(problem, p, "p", scale, seed)
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


def _check_draw(
    problem: Problem, count: int, name: str, scale: float, seed: int
) -> tuple[int, float, int]:
    """The arguments that every Gaussian draw shares."""
    checks.instance(problem, "problem", Problem)
    count = checks.integer(count, name)
    scale = checks.real(scale, "scale", above=0.0)
    return count, scale, checks.integer(seed, "seed", minimum=0)


def _uniforms(n: int, dims: int, seed: int, *, quasi: bool) -> NDArray[np.float64]:
    """Points in the open unit cube, independent or a scrambled Sobol sequence."""
    if quasi:
        from scipy.stats import qmc  # half a second to import, and only wanted here

        power = max(0, math.ceil(math.log2(n)))
        points = qmc.Sobol(dims, scramble=True, rng=np.random.default_rng(seed)).random_base2(power)
        points = points[:n]
    else:
        points = np.random.default_rng(seed).random((n, dims))
    tiny = np.finfo(np.float64).tiny
    return np.clip(points, tiny, 1.0 - np.finfo(np.float64).epsneg)
