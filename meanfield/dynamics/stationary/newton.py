"""Newton's method for F(y) = 0, and for what moves within a face of the cone of overlaps."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.fluctuations.differences import along
from meanfield.dynamics.fluctuations.drift import OverlapField

Array = NDArray[np.float64]

ITERATIONS = 60
ENOUGH = 1e-17  # of the size of y: Newton goes on for as long as the velocity falls
ROUNDED = 1e-11  # of the size of y: a velocity that may be rounding
SMALLEST = 1e-7  # singular values of J, relative, that Newton does not divide by
ON_FACE = 1e-6  # of Q: eigenvalues of N that a double root leaves of 0


class Root(NamedTuple):
    """Where Newton's method ended."""

    y: Array
    converged: bool
    message: str


def plain_scale(y: Array) -> float:
    """Over which a function without edges changes."""
    return min(1.0, max(float(np.abs(y).max()), 1e-6))


def jacobian(f: Callable[[Array], Array], y: Array, scale: float) -> Array:
    """J (n, n), by central differences."""

    def rows(points: Array) -> Array:
        return np.array([f(x) for x in points])

    return np.asarray(along(rows, y, np.eye(len(y)), np.zeros(len(y)), scale).first.T)


def newton(
    f: Callable[[Array], Array], y: Array, scale: Callable[[Array], float] = plain_scale
) -> Root:
    """Steps of Newton's method, cut in half until |f| falls; the shortest where J is singular."""
    F = f(y)
    for count in range(ITERATIONS):
        size, unit = float(np.linalg.norm(F)), max(float(np.linalg.norm(y)), 1e-3)
        if not np.isfinite(size):
            return Root(y, False, f"the velocity is not finite after {count} iterations")
        if size <= ENOUGH * unit:
            return Root(y, True, f"converged in {count} iterations")
        J = jacobian(f, y, scale(y))
        if not np.isfinite(J).all():
            return Root(y, False, f"the flow has no derivatives after {count} iterations")
        step, share = np.linalg.lstsq(J, -F, rcond=SMALLEST)[0], 1.0
        while share > 1e-6:
            ahead = f(y + share * step)
            if np.linalg.norm(ahead) < (1.0 - 0.1 * share) * size:
                break
            share *= 0.5
        else:
            if size <= ROUNDED * unit:
                return Root(y, True, f"converged in {count} iterations")
            return Root(y, False, f"no step lessens a velocity of {size:.1e}")
        y, F = y + share * step, ahead
    return Root(y, False, f"no convergence in {ITERATIONS} iterations")


def within_face(field: OverlapField, y: Array) -> Array:
    """The same point to full digits, if it lies on the edge of the cone under gradient flow.

    N = Q − u uᵀ keeps its rank there, and velocities are quadratic in what N lacks: y is known to
    the root of rounding alone. With N = V Vᵀ of that rank, du/dt = D u + E and dV/dt = D V have a
    simple root.
    """
    c, network = field.coordinates, field.network(y)
    assert network.N is not None
    values, vectors = np.linalg.eigh(network.N)
    kept = values > ON_FACE * max(float(np.abs(network.Q).max()), 1e-300)
    if kept.all() or field.spherical or field.noise is not None:
        return y
    V = vectors[:, kept] * np.sqrt(values[kept])
    shape, rank = (c.p, field.basis.shape[1] + V.shape[1]), field.basis.shape[1]

    def place(x: Array) -> Array:
        block = x[: shape[0] * shape[1]].reshape(shape)
        return c.join(block @ block.T, block[:, :rank] @ field.basis.T, x[block.size :])

    def velocity(x: Array) -> Array:
        block = x[: shape[0] * shape[1]].reshape(shape)
        D, E = field.drift_matrices(field.network(place(x)))
        speed = D @ block
        speed[:, :rank] += E
        rest = field.drift(place(x))[c.first :]
        return np.concatenate((speed.ravel(), rest))

    begin = np.hstack((network.u, V)).ravel()
    root = newton(velocity, np.concatenate((begin, network.a)) if c.moving else begin)
    found = place(root.y)
    near = np.linalg.norm(found - y) <= 1e-3 * max(float(np.linalg.norm(y)), 1e-3)
    return found if root.converged and near else y
