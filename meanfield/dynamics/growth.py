"""Whether what grows from next to nothing is driven by itself, or by the error of its velocity.

At a saddle a direction of which there is next to nothing grows in proportion to itself, and without
it would stand still. A velocity that stays when the direction is taken away is a push of the
problem's own, or, where it is below what velocities are known to be off by, an error of theirs:
then the time at which the direction is seen is not certain. An error that vanishes along with the
direction, as rounding does where symmetry is exact, moves that time by next to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from meanfield.integrate.equation import Total
from meanfield.integrate.implicit import scattered

Array = NDArray[np.float64]

SMALL = 1e-3  # of the largest direction's norm: below, there is next to nothing of a direction
UNSURE = 3e-3  # of a velocity: an error below does not shift the time at which growth is seen
ROUNDING = 1e-14  # of the largest velocity: what any is off by
NUDGE = 1e-5  # of a central difference to each side: a unit vector's, in sizes of coordinates
DIRECTIONS = 32  # of Arnoldi's process, at most

REMARK = (
    "; a direction grew from velocities below their estimated error, so that the time at which it "
    "is seen is not certain"
)


def error_in_growth(
    velocity: Callable[[Array, Array], None],
    y: Array,
    slope: Array,
    parts: Callable[[Array], Sequence[Array]],
    error: float,
    total: Total | None = None,
) -> float:
    """The largest share of a growing direction's velocity that may be nothing but an error.

    All directions below `SMALL` whose velocity may be off by more than `UNSURE` of itself are set
    to 0 at once, and the velocity is computed again. What stays of it along one of them that grows,
    relative to what it was, is that direction's share, provided that it is no larger than the error
    of velocities.

    Parameters
    ----------
    velocity : callable
        ``velocity(y, out)`` writes the right-hand side into `out`.
    y, slope : ndarray, shape (N,)
        State and its velocity.
    parts : callable
        Views of a vector, (n, m) each: n coordinates along each of m directions.
    error : float
        Of velocities, relative to the largest norm of one along a direction.
    total : callable, optional
        Sums over all holders of neurons.

    Returns
    -------
    float
        0 where no direction is driven by an error.
    """
    summed = total or (lambda sums: sums)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        state = parts(y)
        sizes = np.sqrt(summed(_products(state, state)))
        faint = sizes < SMALL * sizes.max(initial=0.0)
        if not faint.any():
            return 0.0
        motion = parts(slope)
        sums = summed(np.array([_products(motion, motion), _products(state, motion)]))
        speeds = np.sqrt(sums[0])
        off = max(error, ROUNDING) * float(speeds.max(initial=0.0))
        faint &= off > UNSURE * speeds
        grows = faint & (sums[1] > 0.0)
        if not grows.any() or not np.isfinite(speeds).all():
            return 0.0
        # all of them are taken away at once: they push one another
        without, slope_without = y.copy(), np.empty_like(y)
        first = 0
        for part in parts(without):
            part[:, faint[first : first + part.shape[1]]] = 0.0
            first += part.shape[1]
        velocity(without, slope_without)
        push = parts(slope_without)
        stays = np.sqrt(summed(_products(push, push)))
    by_error = grows & (stays <= off)
    return float((stays[by_error] / speeds[by_error]).max(initial=0.0))


def _products(x: Sequence[Array], y: Sequence[Array]) -> Array:
    """The inner product of two vectors along each direction, of their views by `parts`."""
    pairs = zip(x, y, strict=True)
    return np.concatenate([np.einsum("ic,ic->c", p, q) for p, q in pairs])


def growth_rates(
    velocity: Callable[[Array, Array], None], y: Array, size: Array, total: Total | None = None
) -> tuple[float, float]:
    """The largest real part, and the largest size, of the Jacobian's eigenvalues at y.

    By Arnoldi's process on central differences of the velocity, from a direction that favours
    none: it finds growth that the motion does not show, as where neurons are equal. Up to the
    error of differences it is exact for at most `DIRECTIONS` coordinates; beyond, the ends of the
    spectrum are what is found first. Both are infinite where the velocity is not finite.

    Parameters
    ----------
    velocity : callable
        ``velocity(y, out)`` writes the right-hand side into `out`.
    y : ndarray, shape (N,)
    size : ndarray, shape (N,)
        How large each coordinate is, for the steps of differences; one below the geometric mean of
        all that are above 0 counts as that large.
    total : callable, optional
        Sums over all holders of coordinates.
    """
    summed = total or (lambda sums: sums)

    def products(V: Sequence[Array], w: Array) -> Array:
        return np.asarray(summed(np.array([float(v @ w) for v in V])))

    count = int(summed(np.array([float(len(y))]))[0])
    v = scattered(len(y))
    some = size[size > 0.0]
    logs, number = summed(np.array([float(np.log(some).sum()), float(some.size)]))
    scale = NUDGE * np.maximum(size, math.exp(logs / number) if number > 0.0 else 1.0)
    up, down = np.empty_like(y), np.empty_like(y)
    V = [v / math.sqrt(float(products([v], v)[0]))]
    H = np.zeros((DIRECTIONS + 1, DIRECTIONS))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for j in range(min(count, DIRECTIONS)):
            velocity(y + scale * V[j], up)
            velocity(y - scale * V[j], down)
            w = (up - down) / (2.0 * scale)  # in units of `scale`: the same eigenvalues
            for _ in range(2):  # orthogonal to all in V; once more for what rounding left
                along = products(V, w)
                H[: len(V), j] += along
                w -= sum(part * each for part, each in zip(along, V, strict=True))
            beyond = math.sqrt(float(products([w], w)[0]))
            if not beyond > 1e-9 * float(np.abs(H[:, j]).max()):
                break  # the directions so far are mapped to themselves, or something is not finite
            H[j + 1, j] = beyond
            V.append(w / beyond)
    square = H[: j + 1, : j + 1]
    if not np.isfinite(square).all():
        return math.inf, math.inf
    values = np.linalg.eigvals(square)
    return float(values.real.max()), float(np.abs(values).max())
