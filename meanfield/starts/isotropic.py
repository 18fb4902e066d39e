"""Isotropic starts: Gaussian weights, w ~ N(0, scale² I_d), and spherical ones, |w| = scale √d."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import gammaincinv

from meanfield.problem import Problem
from meanfield.starts import draws
from meanfield.starts.draws import SecondLayer
from meanfield.states import Overlaps, ParticleMeasure, Weights
from meanfield.states.factors import gaussian_triangle


def gaussian_measure(
    problem: Problem,
    n: int,
    scale: float = 1.0,
    seed: int = 0,
    sampling: str = "random",
    second_layer: SecondLayer = 1.0,
) -> ParticleMeasure:
    """Law of neurons drawn w ~ N(0, scale² I_d), reduced to (a, u, r).

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
    second_layer : float, str or array_like
        a: one number for all neurons, ``"signs"`` (±1 with equal chances), ``"gaussian"``
        (N(0, 1)), both independent of the rest, or an array of them.

    Returns
    -------
    ParticleMeasure
        With n neurons; n is rounded up to even when antithetic.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> start = mf.gaussian_measure(problem, n=7, sampling="antithetic", second_layer="signs")
    >>> start.n, round(float((start.u**2).mean()), 12)
    (8, 0.01)
    """
    n, scale, seed = draws.check_draw(problem, n, "n", scale, seed)
    xi, uniforms, a = draws.draw_neurons(problem, n, seed, sampling, second_layer)
    d, D = problem.dim, problem.perpendicular_dim
    # χ²_D/D by its quantile function, which tends to 1 as D grows
    r_squared = np.ones(len(a)) if math.isinf(D) else gammaincinv(D / 2, uniforms) / (D / 2)
    if sampling.startswith("antithetic"):
        xi /= np.sqrt((xi * xi).mean(axis=0))
        r_squared /= r_squared.mean()
    u = np.zeros_like(xi) if math.isinf(d) else scale * xi / math.sqrt(d)
    share = 1.0 if math.isinf(d) else D / d
    r = scale * np.sqrt(share * r_squared)
    origin = {"start": "gaussian", "scale": scale, "seed": seed, "sampling": sampling}
    return ParticleMeasure(a, u, r, origin=draws.with_second_layer(origin, second_layer))


def gaussian_weights(
    problem: Problem, p: int, scale: float = 1.0, seed: int = 0, second_layer: SecondLayer = 1.0
) -> Weights:
    """Weights w ~ N(0, scale² I_d) of a network of width p.

    The target's rows are W* = √d B in the first coordinates, so that W* W*ᵀ/d = P exactly.

    Parameters
    ----------
    problem : Problem
        With finite d.
    p : int
        Width.
    scale, seed, second_layer
        As in `gaussian_measure`.

    Returns
    -------
    Weights

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or d is infinite.

    Examples
    --------
    >>> import meanfield as mf
    >>> mf.gaussian_weights(mf.Problem(mf.CommitteeTarget(k=1), dim=100), p=3).W.shape
    (3, 100)
    """
    p, scale, seed = draws.check_draw(problem, p, "p", scale, seed)
    law = draws.check_second_layer(second_layer, p)
    d = draws.check_finite_dim(problem)
    rng = np.random.default_rng(seed)
    W = scale * rng.standard_normal((p, d))
    W_star = np.zeros((problem.target.k, d))
    W_star[:, : problem.subspace_dim] = math.sqrt(d) * problem.target.basis
    origin: dict[str, Any] = {"start": "gaussian", "scale": scale, "seed": seed}
    a = draws.draw_second_layer(law, rng, p)
    return Weights(W, W_star, a, origin=draws.with_second_layer(origin, second_layer))


def gaussian_overlaps(
    problem: Problem, p: int, scale: float = 1.0, seed: int = 0, second_layer: SecondLayer = 1.0
) -> Overlaps:
    """Overlaps of w ~ N(0, scale² I_d), drawn without the weights where d is large.

    The perpendicular parts of p Gaussian vectors have a triangular factor of independent entries:
    normals below the diagonal and χ with D, D − 1, … degrees of freedom on it (Bartlett). At
    d = ∞ every overlap is certain: Q = scale² I, M = 0.

    Parameters
    ----------
    problem : Problem
    p : int
        Width.
    scale, seed, second_layer
        As in `gaussian_measure`.

    Returns
    -------
    Overlaps

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Examples
    --------
    >>> import meanfield as mf
    >>> mf.gaussian_overlaps(mf.Problem(mf.CommitteeTarget(k=1), dim=10**9), p=3).M.shape
    (3, 1)
    """
    p, scale, seed = draws.check_draw(problem, p, "p", scale, seed)
    law = draws.check_second_layer(second_layer, p)
    k, d, D = problem.subspace_dim, problem.dim, problem.perpendicular_dim
    rng = np.random.default_rng(seed)
    if math.isinf(d):
        u, outside = np.zeros((p, k)), scale * np.eye(p)
    else:
        size = scale / math.sqrt(d)
        u = rng.standard_normal((p, k)) * size
        outside = size * (
            gaussian_triangle(p, int(D), rng) if p <= D else rng.standard_normal((p, int(D)))
        )
    M, P = u @ problem.target.basis.T, np.asarray(problem.target.gram)
    origin = {"start": "gaussian", "scale": scale, "seed": seed, "drawn": "overlaps"}
    a = draws.draw_second_layer(law, rng, p)
    return Overlaps(
        u @ u.T + outside @ outside.T, M, P, a, origin=draws.with_second_layer(origin, second_layer)
    )


def spherical_measure(
    problem: Problem,
    n: int,
    scale: float = 1.0,
    seed: int = 0,
    sampling: str = "random",
    second_layer: SecondLayer = 1.0,
) -> ParticleMeasure:
    """Law of neurons uniform on the sphere |w| = scale √d, reduced to (a, u, r).

    The Gaussian start of the same arguments, each neuron at its length divided out: |u|² + r² =
    scale². At d = ∞ every neuron sits at u = 0, r = scale.

    Parameters
    ----------
    problem, n, seed, sampling, second_layer
        As in `gaussian_measure`. Antithetic: the mean of u is exactly 0.
    scale : float
        |w|/√d, > 0.

    Returns
    -------
    ParticleMeasure
        With n neurons; n is rounded up to even when antithetic.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Examples
    --------
    >>> import meanfield as mf
    >>> start = mf.spherical_measure(mf.Problem(mf.CommitteeTarget(k=1), dim=20), n=3, scale=2.0)
    >>> (start.u[:, 0] ** 2 + start.r**2).round(12).tolist()
    [4.0, 4.0, 4.0]
    """
    _, scale, _ = draws.check_draw(problem, n, "n", scale, seed)
    start = gaussian_measure(problem, n, 1.0, seed, sampling, second_layer)
    stretch = scale / np.sqrt((start.u**2).sum(axis=1) + start.r**2)
    origin = {**start.origin, "start": "spherical", "scale": scale}
    return replace(start, u=stretch[:, None] * start.u, r=stretch * start.r, origin=origin)


def spherical_weights(
    problem: Problem, p: int, scale: float = 1.0, seed: int = 0, second_layer: SecondLayer = 1.0
) -> Weights:
    """Weights uniform on the sphere |w| = scale √d.

    The Gaussian weights of the same seed, each row at its length divided out.

    Parameters
    ----------
    problem : Problem
        With finite d.
    p, seed, second_layer
        As in `gaussian_weights`.
    scale : float
        |w|/√d, > 0.

    Returns
    -------
    Weights

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or d is infinite.

    Examples
    --------
    >>> import meanfield as mf
    >>> start = mf.spherical_weights(mf.Problem(mf.CommitteeTarget(k=1), dim=20), p=2)
    >>> (start.W**2).sum(axis=1).round(12).tolist()
    [20.0, 20.0]
    """
    _, scale, _ = draws.check_draw(problem, p, "p", scale, seed)
    start = gaussian_weights(problem, p, 1.0, seed, second_layer)
    lengths = np.linalg.norm(start.W, axis=1, keepdims=True)
    origin = {**start.origin, "start": "spherical", "scale": scale}
    return replace(start, W=start.W * (scale * math.sqrt(start.dim) / lengths), origin=origin)


def spherical_overlaps(
    problem: Problem, p: int, scale: float = 1.0, seed: int = 0, second_layer: SecondLayer = 1.0
) -> Overlaps:
    """Overlaps of weights uniform on the sphere |w| = scale √d, drawn without the weights.

    Parameters
    ----------
    problem : Problem
        At d = ∞ every overlap is certain: Q = scale² I, M = 0.
    p, seed, second_layer
        As in `gaussian_weights`.
    scale : float
        |w|/√d, > 0.

    Returns
    -------
    Overlaps

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Examples
    --------
    >>> import numpy as np, meanfield as mf
    >>> start = mf.spherical_overlaps(mf.Problem(mf.CommitteeTarget(k=1), dim=20), p=2)
    >>> np.diag(start.Q).round(12).tolist()
    [1.0, 1.0]
    """
    _, scale, _ = draws.check_draw(problem, p, "p", scale, seed)
    start = gaussian_overlaps(problem, p, 1.0, seed, second_layer)
    stretch = scale / np.sqrt(np.diag(start.Q))
    Q, M = stretch[:, None] * start.Q * stretch, stretch[:, None] * start.M
    return replace(start, Q=Q, M=M, origin={**start.origin, "start": "spherical", "scale": scale})
