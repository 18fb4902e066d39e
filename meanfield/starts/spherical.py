"""Spherical starts: directions uniform on the sphere, |w| = scale √d."""

from __future__ import annotations

import math

import numpy as np

from meanfield.problem import Problem
from meanfield.starts import draws
from meanfield.starts.gaussian import gaussian_measure, gaussian_overlaps, gaussian_weights
from meanfield.states import Overlaps, ParticleMeasure, Weights


def spherical_measure(
    problem: Problem,
    n: int,
    scale: float = 1.0,
    seed: int = 0,
    sampling: str = "random",
    second_layer: draws.SecondLayer = 1.0,
) -> ParticleMeasure:
    """Law of neurons uniform on the sphere |w| = scale √d, reduced to (a, u, r).

    The Gaussian start of the same arguments, each neuron at its length divided out: |u|² + r² =
    scale². At d = ∞ every neuron sits at u = 0, r = scale.

    Parameters
    ----------
    problem : Problem
    n : int
        Number of neurons.
    scale : float
        |w|/√d, > 0.
    seed : int
        Seed of the draw, ≥ 0; common random numbers for all d, as in `gaussian_measure`.
    sampling : str
        ``"random"``, ``"antithetic"``, ``"sobol"`` or ``"antithetic-sobol"``, as in
        `gaussian_measure`. Antithetic: the mean of u is exactly 0.
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
    >>> start = mf.spherical_measure(mf.Problem(mf.CommitteeTarget(k=1), dim=20), n=3, scale=2.0)
    >>> (start.u[:, 0] ** 2 + start.r**2).round(12).tolist()
    [4.0, 4.0, 4.0]
    """
    _, scale, _ = draws.check_draw(problem, n, "n", scale, seed)
    start = gaussian_measure(problem, n, 1.0, seed, sampling, second_layer)
    stretch = scale / np.sqrt((start.u**2).sum(axis=1) + start.r**2)
    origin = _origin(start, scale)
    return ParticleMeasure(start.a, stretch[:, None] * start.u, stretch * start.r, origin=origin)


def spherical_weights(
    problem: Problem,
    p: int,
    scale: float = 1.0,
    seed: int = 0,
    second_layer: draws.SecondLayer = 1.0,
) -> Weights:
    """Weights uniform on the sphere |w| = scale √d.

    The Gaussian weights of the same seed, each row at its length divided out.

    Parameters
    ----------
    problem : Problem
        With finite d.
    p : int
        Width.
    scale : float
        |w|/√d, > 0.
    seed : int
        Seed of the draw, ≥ 0.
    second_layer : float, str or array_like
        a, as in `spherical_measure`.

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
    W = start.W * (scale * math.sqrt(start.dim) / lengths)
    return Weights(W, start.W_star, start.a, origin=_origin(start, scale))


def spherical_overlaps(
    problem: Problem,
    p: int,
    scale: float = 1.0,
    seed: int = 0,
    second_layer: draws.SecondLayer = 1.0,
) -> Overlaps:
    """Overlaps of weights uniform on the sphere |w| = scale √d, drawn without the weights.

    Parameters
    ----------
    problem : Problem
        At d = ∞ every overlap is certain: Q = scale² I, M = 0.
    p : int
        Width.
    scale : float
        |w|/√d, > 0.
    seed : int
        Seed of the draw, ≥ 0.
    second_layer : float, str or array_like
        a, as in `spherical_measure`.

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
    Q = stretch[:, None] * start.Q * stretch
    M = stretch[:, None] * start.M
    return Overlaps(Q, M, start.P, start.a, origin=_origin(start, scale))


def _origin(start: ParticleMeasure | Overlaps | Weights, scale: float) -> dict[str, object]:
    return {**start.origin, "start": "spherical", "scale": scale}
