"""Newton's method for F(y) = 0: inside the cone of overlaps, beyond its edge, or on a face."""

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
EDGE = 1e-6  # of Q_ii: r² that a formula with r cannot be continued from


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


class FreeFlow:
    """F in the coordinates x that are free to move, as Newton's method asks for it.

    Parameters
    ----------
    field : OverlapField
    y0 : ndarray, shape (m,)
        What the others are: on spheres, the lengths.

    Attributes
    ----------
    free : ndarray of int
        Places of the free coordinates in y.
    ends : bool
        Whether F has no derivatives on the edge of the cone: ⟨σ'σ'⟩ of kinks is an arc sine.
    inside : bool
        Whether F is not known beyond that edge either, for its γ/p term.
    """

    def __init__(self, field: OverlapField, y0: Array):
        self.field, self.y0 = field, y0
        c, sigma = field.coordinates, field.averages.sigma
        self.free = np.setdiff1d(np.arange(c.size), c.diagonal if field.spherical else [])
        self.ends = bool(sigma.kinks or sigma.breaks)
        self.inside = field.noise is not None and self.ends

    def whole(self, x: Array) -> Array:
        """y with these free coordinates."""
        y = self.y0.copy()
        y[self.free] = x
        return y

    def room(self, y: Array) -> float:
        """How far inside the cone a vector lies: the smallest eigenvalue of N."""
        N = self.field.network(y).N
        assert N is not None
        return float(np.linalg.eigvalsh(N)[0])

    def velocity(self, x: Array) -> Array:
        """F of the free coordinates; NaN where no step may lead."""
        y = self.whole(x)
        if self.inside and self.room(y) <= 0.0:
            return np.full(len(x), np.nan)
        return np.asarray(self.field(y)[self.free])

    def scale(self, x: Array) -> float:
        """Over which F changes: where it ends at the edge, no farther than that is away."""
        plain = plain_scale(x)
        room = self.room(self.whole(x)) if self.ends else plain
        return min(plain, room) if self.inside or room > EDGE * plain else plain

    def jacobians(self, y: Array) -> tuple[Array, Array]:
        """J at y, and the same by differences over twice the length."""
        x = y[self.free]
        first, second = (jacobian(self.velocity, x, each * self.scale(x)) for each in (1.0, 2.0))
        return first, second

    def known(self, y: Array) -> bool:
        """Whether F is known about a point; where it has r, every neuron needs one."""
        network = self.field.network(y)
        if self.ends:
            return self.room(y) > EDGE * float(np.abs(network.Q).max())
        inside = bool((network.r_squared > EDGE * np.diag(network.Q)).all())
        return self.field.averages.compiled or inside


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
