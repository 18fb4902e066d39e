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

SMALL = 1e-3  # of the largest coordinates: a direction of which there is next to nothing
UNSURE = 3e-3  # the part of a velocity that an error may be before it shifts when growth is seen
ROUNDING = 1e-14  # of the largest velocity: what any is off by
NUDGE = 1e-5  # of a difference, relative to the state
DIRECTIONS = 32

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
    """The largest part of a growing direction's velocity that is no more than an error.

    Parameters
    ----------
    velocity : callable
        ``velocity(y, out)`` writes the right-hand side into `out`.
    y, slope : ndarray, shape (N,)
        State and its velocity.
    parts : callable
        Views of a vector, (n, m) each: n coordinates along each of m directions.
    error : float
        Of velocities, relative to the largest of them.
    total : callable, optional
        Sums over all holders of neurons.
    """
    summed = total or (lambda sums: sums)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        at = parts(y)
        sizes = np.sqrt(summed(_products(at, at)))
        faint = sizes < SMALL * sizes.max(initial=0.0)
        if not faint.any():
            return 0.0
        along = parts(slope)
        sums = summed(np.array([_products(along, along), _products(at, along)]))
        speeds = np.sqrt(sums[0])
        off = max(error, ROUNDING) * float(speeds.max(initial=0.0))
        faint &= off > UNSURE * speeds
        grows = faint & (sums[1] > 0.0)
        if not grows.any() or not np.isfinite(speeds).all():
            return 0.0
        # all of them are taken away at once: they push one another
        without, left = y.copy(), np.empty_like(y)
        first = 0
        for part in parts(without):
            part[:, faint[first : first + part.shape[1]]] = 0.0
            first += part.shape[1]
        velocity(without, left)
        gone = parts(left)
        stays = np.sqrt(summed(_products(gone, gone)))
    errs = grows & (stays <= off)
    return float((stays[errs] / speeds[errs]).max(initial=0.0))


def _products(x: Sequence[Array], y: Sequence[Array]) -> Array:
    """Inner products of two vectors for each direction."""
    pairs = zip(x, y, strict=True)
    return np.concatenate([np.einsum("ic,ic->c", p, q) for p, q in pairs])


def growth_rates(
    velocity: Callable[[Array, Array], None], y: Array, size: Array, total: Total | None = None
) -> tuple[float, float]:
    """The largest real part, and the largest size, of the Jacobian's eigenvalues at y.

    By Arnoldi's process on central differences of the velocity, from a direction that favours
    none: it finds growth that the motion does not show, as where neurons are equal. Exact for as
    few coordinates as there are directions; beyond, the ends of the spectrum are what is found
    first.

    Parameters
    ----------
    velocity : callable
        ``velocity(y, out)`` writes the right-hand side into `out`.
    y : ndarray, shape (N,)
    size : ndarray, shape (N,)
        How large each coordinate is: steps of differences go by it, not by the largest. Where it is
        less, the geometric mean of those above 0 serves.
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
            w = (up - down) / (2.0 * scale)
            for _ in range(2):  # once more for what rounding left
                parts = products(V, w)
                H[: len(V), j] += parts
                w -= sum(part * each for part, each in zip(parts, V, strict=True))
            beyond = math.sqrt(float(products([w], w)[0]))
            if not beyond > 1e-9 * float(np.abs(H[:, j]).max()):
                break
            H[j + 1, j] = beyond
            V.append(w / beyond)
    square = H[: j + 1, : j + 1]
    if not np.isfinite(square).all():
        return math.inf, math.inf
    values = np.linalg.eigvals(square)
    return float(values.real.max()), float(np.abs(values).max())
