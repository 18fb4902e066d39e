"""Overlaps as one vector y = (Q_ij for i ≤ j, M row by row, a if it moves), and their scatter."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.states import Overlaps

Array = NDArray[np.float64]


class Parts(NamedTuple):
    """Q (p, p), M (p, k) and a (p,)."""

    Q: Array
    M: Array
    a: Array


class Coordinates:
    """The map between matrices and the vector, for width p and k directions.

    Parameters
    ----------
    p, k : int
    a : ndarray, shape (p,)
        The second layer, where it does not move.
    moving : bool
        Whether a belongs to the vector.
    """

    def __init__(self, p: int, k: int, a: Array, moving: bool):
        self.p, self.k, self.a, self.moving = p, k, np.asarray(a), moving
        self.rows, self.columns = np.triu_indices(p)
        self.pairs = len(self.rows)
        self.first = self.pairs + p * k  # where the second layer begins
        self.size = self.first + (p if moving else 0)
        self.diagonal = np.flatnonzero(self.rows == self.columns)
        self.place = np.empty((p, p), dtype=np.intp)  # of Q_ij in the vector
        self.place[self.rows, self.columns] = np.arange(self.pairs)
        self.place[self.columns, self.rows] = np.arange(self.pairs)

    def row(self, i: int) -> slice:
        """Where the Q_ij for j ≥ i lie in the vector."""
        begin = int(self.place[i, i])
        return slice(begin, begin + self.p - i)

    def split(self, y: Array) -> Parts:
        """The matrices in a vector, or in each of several, (..., m)."""
        Q = np.take(y, self.place, axis=-1)
        M = y[..., self.pairs : self.first].reshape(*y.shape[:-1], self.p, self.k)
        return Parts(Q, M, y[..., self.first :] if self.moving else self.a)

    def join(self, Q: Array, M: Array, a: Array) -> Array:
        """The vector of matrices, or of each of several; of Q the upper triangle."""
        upper = Q[..., self.rows, self.columns]
        parts = [upper, M.reshape(*upper.shape[:-1], self.p * self.k)]
        return np.concatenate([*parts, a] if self.moving else parts, axis=-1)

    def with_second_layer(self, sigma: Array) -> Array:
        """A covariance (m, m) of all of (Q, M, a), whether a moves or not."""
        whole = self.first + self.p
        out = np.zeros((whole, whole))
        out[: self.size, : self.size] = sigma
        return out

    def tangent(self, y: Array, v: Array) -> Array:
        """What spheres leave of a velocity v (..., m) at y: of w_i half its own growth is taken.

        v_ij − ½ Q_ij (v_ii + v_jj) and v_ir − ½ M_ir v_ii, for Q_ii = 1.
        """
        out = v + self.bend(y, v)
        out[..., self.diagonal] = 0.0  # but for rounding, which would be integrated
        return out

    def bend(self, dy: Array, v: Array) -> Array:
        """The part of `tangent` that is linear in y, which is its derivative along dy too."""
        growth = v[..., self.diagonal]
        both = growth[..., self.rows] + growth[..., self.columns]
        out = np.zeros(np.broadcast_shapes(v.shape, dy.shape))
        out[..., : self.pairs] = -0.5 * dy[..., : self.pairs] * both
        single = np.repeat(growth, self.k, axis=-1)
        out[..., self.pairs : self.first] = -0.5 * dy[..., self.pairs : self.first] * single
        return out


class Scatter(NamedTuple):
    """How starts of runs scatter about the overlaps that stand for them, as a user says it.

    `covariance` (m, m) and `bias` (m,), with or without a's part.
    """

    covariance: Any
    bias: Any

    def of_second_layer(self, overlaps: Overlaps) -> bool:
        """Whether the second layer of the start scatters or is biased."""
        p, first = overlaps.p, _without(overlaps.p, overlaps.k)
        parts = [np.asarray(part) for part in self if np.shape(part)[:1] == (first + p,)]
        return any(bool(np.any(part[first:] != 0.0)) for part in parts)

    def at(self, c: Coordinates) -> tuple[Array, Array]:
        """Bias and covariance in the coordinates of a run; refuses what is neither."""
        bias, covariance = np.zeros(c.size), np.zeros((c.size, c.size))
        if self.bias is not None:
            found = self._checked("bias", c, 1)
            kept = min(c.size, len(found))
            bias[:kept] = found[:kept]
        if self.covariance is None:
            return bias, covariance
        found = self._checked("covariance", c, 2)
        size, m = float(np.abs(found).max()), len(found)
        if not np.allclose(found, found.T, rtol=0.0, atol=1e-10 * size) or (
            float(np.linalg.eigvalsh(found)[0]) < -1e-10 * size * m
        ):
            raise ValueError("covariance must be symmetric and positive semi-definite")
        kept = min(c.size, m)
        covariance[:kept, :kept] = found[:kept, :kept]
        return bias, covariance

    def _checked(self, name: str, c: Coordinates, axes: int) -> Array:
        """An argument of either size."""
        value, first = getattr(self, name), _without(c.p, c.k)
        size = first + c.p if np.shape(value)[:1] == (first + c.p,) else first
        described = f"({', '.join('m' * axes)}) with m = {first}, or {first + c.p} with a"
        return np.asarray(checks.array(value, name, (size,) * axes, described=described))


def _without(p: int, k: int) -> int:
    """How many numbers Q and M are."""
    return p * (p + 1) // 2 + p * k
