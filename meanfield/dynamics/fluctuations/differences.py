"""First and second derivatives along directions, by central differences of a smooth function."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

STEP = 2e-4  # of second differences: rounding and the fourth derivative err by about 1e-8
BLOCK = 64  # directions at a time: what f makes of them stays in cache


class Directional(NamedTuple):
    """Along each direction the derivative, (n, ...), and the sum of weighted second derivatives."""

    first: Array
    second: Array


def along(
    f: Callable[[Array], Array], y: Array, directions: Array, weights: Array, scale: float,
    middle: Array | None = None,
) -> Directional:  # fmt: skip
    """Derivatives of f at y along the rows v_α of `directions` (n, m), which have length one.

    Parameters
    ----------
    f : callable
        From rows (n, m) to a number or an array for each, (n, ...).
    y : ndarray, shape (m,)
    directions : ndarray, shape (n, m)
    weights : ndarray, shape (n,)
        c_α of Σ_α c_α ∂²f/∂v_α².
    scale : float
        Over which f changes, which the step is a part of.
    middle : ndarray, optional
        f(y), if known.
    """
    middle = np.asarray(f(y[None])[0] if middle is None else middle)
    h = STEP * scale
    first = np.empty((len(directions), *middle.shape))
    second = np.zeros(middle.shape)
    for begin in range(0, len(directions), BLOCK):
        some = slice(begin, begin + BLOCK)
        ahead, behind = f(y + h * directions[some]), f(y - h * directions[some])
        first[some] = (ahead - behind) / (2.0 * h)
        bend = ((ahead - middle) - (middle - behind)) / (h * h)
        second = second + np.tensordot(weights[some], bend, axes=1)
    return Directional(first, second)


def derivative(
    f: Callable[[Array], Array | float], y: Array, v: Array, scale: float
) -> Array:  # fmt: skip
    """J v, for a direction of any length."""
    length = float(np.linalg.norm(v))
    if length == 0.0:
        return np.zeros_like(np.asarray(f(y)))
    h = STEP * scale / length
    return np.asarray((f(y + h * v) - f(y - h * v)) / (2.0 * h))
