"""Starts with a given overlap with the target's directions, equal for all neurons or not."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield import checks
from meanfield.problem import Problem
from meanfield.starts import draws
from meanfield.states import Overlaps, ParticleMeasure, Weights
from meanfield.states.factors import principal_coordinates

Array = NDArray[np.float64]


def aligned_measure(
    problem: Problem,
    n: int,
    overlap: ArrayLike,
    scale: float = 1.0,
    spread: float = 0.0,
    seed: int = 0,
    sampling: str = "random",
    second_layer: draws.SecondLayer = 1.0,
) -> ParticleMeasure:
    """Law of neurons with given overlaps with the target's directions, and length scale √d.

    One number is the symmetric committee: every neuron has that overlap with every direction; a
    small `spread` makes it almost symmetric. The part of a neuron outside the principal subspace
    has a uniformly random direction and the length that is left, r² = scale² − |u|².

    Parameters
    ----------
    problem : Problem
        Of any dimension: overlaps stay finite at d = ∞.
    n : int
        Number of neurons.
    overlap : float or array_like, shape (k,) or (n, k)
        M, the overlaps w·w*_r/d: one for all, one a direction, or one each.
    scale : float
        |w|/√d of every neuron, > 0.
    spread : float
        Standard deviation of independent Gaussian numbers added to the principal coordinates u,
        and so to M where the target's directions are orthonormal, ≥ 0.
    seed : int
        Seed of the draw, ≥ 0.
    sampling : str
        ``"random"``, ``"antithetic"``, ``"sobol"`` or ``"antithetic-sobol"``, how the added numbers
        are drawn; antithetic ones come in opposite pairs.
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
        If an argument is not as above, or a neuron's part in the principal subspace would be longer
        than its length.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=2))
    >>> mf.aligned_measure(problem, n=3, overlap=0.1).u.tolist()
    [[0.1, 0.1], [0.1, 0.1], [0.1, 0.1]]
    """
    n, scale, seed = draws.check_draw(problem, n, "n", scale, seed)
    spread = checks.real(spread, "spread", minimum=0.0)
    xi, _, a = draws.draw_neurons(problem, n, seed, sampling, second_layer)
    u = _given_coordinates(problem, overlap, len(a)) + spread * xi
    left = scale**2 - (u * u).sum(axis=1)
    if left.min() < -1e-12 * scale**2:
        raise ValueError(
            f"overlap and spread must leave |u| at most scale = {scale:g}, got a neuron with "
            f"|u| = {math.sqrt(scale**2 - left.min()):g}"
        )
    kept = np.asarray(overlap).tolist() if np.ndim(overlap) < 2 else "given"
    origin = {"start": "aligned", "overlap": kept, "scale": scale,
              "spread": spread, "seed": seed, "sampling": sampling}  # fmt: skip
    r = np.sqrt(np.maximum(left, 0.0))
    return ParticleMeasure(a, u, r, origin=draws.with_second_layer(origin, second_layer))


def aligned_weights(
    problem: Problem,
    p: int,
    overlap: ArrayLike,
    scale: float = 1.0,
    spread: float = 0.0,
    cosine: float | None = None,
    seed: int = 0,
    second_layer: draws.SecondLayer = 1.0,
) -> Weights:
    """Weights with given overlaps with the target's directions, and length scale √d.

    Parameters
    ----------
    problem : Problem
        With finite d.
    p, overlap, scale, spread, cosine, seed, second_layer
        As in `aligned_overlaps`; the same neurons, and the same angles where `cosine` is given.

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
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=10)
    >>> mf.aligned_weights(problem, p=2, overlap=0.3).overlaps().M.round(12).tolist()
    [[0.3], [0.3]]
    """
    checks.instance(problem, "problem", Problem)
    draws.check_finite_dim(problem)
    if cosine is not None:
        start = aligned_overlaps(problem, p, overlap, scale, spread, cosine, seed, second_layer)
        return start.weights(problem, seed)
    p = checks.integer(p, "p")
    law = aligned_measure(problem, p, overlap, scale, spread, seed, second_layer=second_layer)
    return replace(law.weights(problem, seed=seed), origin={**law.origin, "cosine": None})


def aligned_overlaps(
    problem: Problem,
    p: int,
    overlap: ArrayLike,
    scale: float = 1.0,
    spread: float = 0.0,
    cosine: float | None = None,
    seed: int = 0,
    second_layer: draws.SecondLayer = 1.0,
) -> Overlaps:
    """Overlaps of neurons with given overlaps with the target's directions, and length scale √d.

    One number and a small `spread` is the almost symmetric committee from which Saad & Solla (1995)
    start: a plateau, until the neurons specialise.

    Parameters
    ----------
    problem : Problem
        Of any dimension.
    p : int
        Width.
    overlap : float or array_like, shape (k,) or (p, k)
        M before the spread: one number for all, one a direction, or one each.
    scale : float
        |w|/√d of every neuron, > 0.
    spread : float
        Standard deviation of independent Gaussian numbers added to the principal coordinates u,
        and so to M where the target's directions are orthonormal, ≥ 0.
    cosine : float, optional
        The cosine of the angle between any two neurons' parts outside the principal subspace, in
        [−1/(p − 1), 1]; by default their directions are drawn uniformly, orthogonal at d = ∞.
    seed : int
        Seed of the draw, ≥ 0. Neurons are those of `aligned_measure` with the same arguments.
    second_layer : float, str or array_like
        a, as in `aligned_measure`.

    Returns
    -------
    Overlaps

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or no neurons in R^d have such overlaps.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1))
    >>> mf.aligned_overlaps(problem, p=2, overlap=0.6, cosine=0.0).Q.round(12).tolist()
    [[1.0, 0.36], [0.36, 1.0]]
    """
    p = checks.integer(p, "p")
    start = aligned_measure(problem, p, overlap, scale, spread, seed, second_layer=second_layer)
    origin = {**start.origin, "cosine": cosine}
    if cosine is None:
        return replace(start.overlaps(problem, seed=seed), origin=origin)
    cosines = _equal_cosines(cosine, p, problem.perpendicular_dim)
    Q = start.u @ start.u.T + start.r[:, None] * cosines * start.r
    M = start.u @ problem.target.basis.T
    return Overlaps(0.5 * (Q + Q.T), M, np.asarray(problem.target.gram), start.a, origin=origin)


def _given_coordinates(problem: Problem, overlap: Any, n: int) -> Array:
    """u (n, rank) of neurons with the given M."""
    k = problem.target.k
    shape = np.shape(overlap)
    if shape not in ((), (k,), (n, k)):
        raise ValueError(
            f"overlap must be a number or have shape (k,) = ({k},) or ({n}, {k}), got {shape}"
        )
    if shape == ():
        overlap = checks.real(overlap, "overlap")
    given = checks.array(overlap, "overlap", shape)
    try:
        return principal_coordinates(problem.target.basis, np.broadcast_to(given, (n, k)))
    except ValueError:
        raise ValueError(
            "overlap must lie in the range of the target's singular gram matrix, got "
            f"{np.array2string(given, threshold=9)}"
        ) from None


def _equal_cosines(cosine: Any, p: int, D: float) -> Array:
    cosine = checks.real(cosine, "cosine")
    lowest = -1.0 / (p - 1) if p > 1 else -1.0
    if not lowest - 1e-12 <= cosine <= 1.0:
        raise ValueError(f"cosine must be between {lowest:g} and 1 at p = {p}, got {cosine:g}")
    rank = 1 if cosine == 1.0 else p if cosine > lowest + 1e-12 else p - 1
    if rank > D:
        raise ValueError(
            f"cosine = {cosine:g} needs {rank} directions outside the principal subspace, and "
            f"there are only {D:g}"
        )
    return np.where(np.eye(p, dtype=bool), 1.0, cosine)
