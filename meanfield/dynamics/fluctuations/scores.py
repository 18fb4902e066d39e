"""Derivatives of the sampled γ/p term, by the score of the Gaussian law of the pre-activations.

A fixed sample of a kinked function is no smooth function of the overlaps, and on the edge of the
cone none at all. But ∂⟨G⟩/∂Ω = ⟨G ∂ log p/∂Ω⟩ asks for no derivative of G: along δΩ the density
grows by q₁ = ½ (sᵀ δΩ s − tr K δΩ), with K = Ω⁻¹ and s = K (z, λ), and at second order by
q₁² − sᵀ δΩ K δΩ s + ½ tr K δΩ K δΩ. The second layer enters G itself, as a polynomial.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.fluctuations.differences import Directional
from meanfield.dynamics.fluctuations.drift import OverlapField
from meanfield.dynamics.fluctuations.sample import Draw

Array = NDArray[np.float64]


class NoiseScores:
    """The γ/p term ⟨(γ/p) b_i b_j⟩ over a sample at one state, and its derivatives."""

    def __init__(self, field: OverlapField, draw: Draw, a: Array):
        self.field, self.draw, self.c, self.a = field, draw, field.coordinates, a
        self.rank = field.basis.shape[1]
        b, c = draw.b, self.c
        self.products = field.rate * b[:, c.rows] * b[:, c.columns] * draw.weight[:, None]
        inverse = np.linalg.inv(draw.factor)
        self.K = inverse.T @ inverse
        self.s = draw.points @ inverse

    def term(self) -> Array:
        """The term itself, as a velocity (m,)."""
        return self._lift(self.products.sum(axis=0))

    def along(self, directions: Array, weights: Array) -> Directional:
        """Derivatives of the term along rows (n, m), and Σ_α c_α of its second ones."""
        c = self.c
        scores = self._scores() @ directions[:, : c.first].T
        first = np.zeros((len(directions), c.size))
        first[:, : c.pairs] = scores.T @ self.products
        second_score = (scores * scores) @ weights + self._correction(directions, weights)
        second = self._lift(second_score @ self.products)
        if c.moving:
            da = directions[:, c.first :]
            first[:, : c.pairs] += da @ self._by_second_layer()
            second += self._lift(self._mixed(scores, da, weights))
        return Directional(first, second)

    def _lift(self, pairs: Array) -> Array:
        out = np.zeros(self.c.size)
        out[: self.c.pairs] = pairs
        return out

    def _scores(self) -> Array:
        """∂ log p/∂y at every point, for Q and M: (S, first)."""
        c, s, rank, K = self.c, self.s, self.rank, self.K
        z, lam = s[:, :rank], s[:, rank:]
        out = np.empty((len(s), c.first))
        i, j = c.rows, c.columns
        out[:, : c.pairs] = lam[:, i] * lam[:, j] - K[rank:, rank:][i, j]
        out[:, c.diagonal] *= 0.5
        by_u = lam[:, :, None] * z[:, None, :] - K[rank:, :rank]
        out[:, c.pairs :] = (by_u @ self.field.into.T).reshape(len(s), -1)
        return out

    def _correction(self, directions: Array, weights: Array) -> Array:
        """−sᵀ X s + ½ tr K X, with X = Σ_α c_α δΩ_α K δΩ_α."""
        rank, size, X = self.rank, len(self.K), np.zeros_like(self.K)
        delta = np.zeros((size, size))
        for v, weight in zip(directions, weights, strict=True):
            dQ, dM, _ = self.c.split(v)
            delta[rank:, rank:] = dQ
            delta[rank:, :rank] = dM @ self.field.into
            delta[:rank, rank:] = delta[rank:, :rank].T
            X += weight * (delta @ self.K @ delta)
        quadratic = ((self.s @ X) * self.s).sum(axis=1)
        return 0.5 * float(np.trace(self.K @ X)) - quadratic

    def _slopes(self, da: Array) -> Array:
        """The change of every b_i where a changes by da: one for all points (p,), or (S, p)."""
        draw = self.draw
        turned = (draw.value * da).sum(axis=1) / self.c.p
        return draw.slope * (da * draw.error[:, None] - self.a * turned[:, None])

    def _by_second_layer(self) -> Array:
        """∂ term/∂a_l, (p, pairs)."""
        return np.array([self._pair(self._slopes(row), self.draw.b) for row in np.eye(self.c.p)])

    def _pair(self, left: Array, right: Array) -> Array:
        """⟨left_i right_j + left_j right_i⟩ (γ/p), (pairs,)."""
        both = self.field.rate * (left * self.draw.weight[:, None]).T @ right
        return (both + both.T)[self.c.rows, self.c.columns]

    def _mixed(self, scores: Array, da: Array, weights: Array) -> Array:
        """The second derivatives that touch a: 2 ∂_a ∂_Ω and ∂_a ∂_a."""
        draw = self.draw
        out = 2.0 * self._pair(self._slopes((scores * weights) @ da), draw.b)
        sizes, axes = np.linalg.eigh((da * weights[:, None]).T @ da)
        for size, axis in zip(sizes, axes.T, strict=True):
            slopes = self._slopes(axis)
            turned = draw.value @ axis / self.c.p
            bend = -2.0 * draw.slope * axis * turned[:, None]
            out += size * (self._pair(slopes, slopes) + self._pair(bend, draw.b))
        return out
