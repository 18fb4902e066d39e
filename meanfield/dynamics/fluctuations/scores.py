"""Derivatives of the sampled γ/p term, by the score of the Gaussian law of the pre-activations.

A fixed sample of a kinked function is no smooth function of the overlaps, and on the edge of the
cone none at all. But ∂⟨G⟩/∂Ω = ⟨G ∂ log p/∂Ω⟩ asks for no derivative of G: along δΩ the density
grows by q₁ = ½ (sᵀ δΩ s − tr K δΩ), with K = Ω⁻¹ and s = K (z, λ), and at second order by
q₁² − sᵀ δΩ K δΩ s + ½ tr K δΩ K δΩ. (The score function or likelihood ratio method; s = Ω⁻¹ (z, λ),
so that both follow from log p = −½ (z, λ)ᵀ Ω⁻¹ (z, λ) − ½ log det Ω.) The second layer enters G
itself, as a polynomial.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.fluctuations.differences import Directional
from meanfield.dynamics.fluctuations.drift import OverlapField
from meanfield.dynamics.fluctuations.sample import Draw

Array = NDArray[np.float64]
Singles = NDArray[np.float32]

SINGLE = np.float32  # what a sample misses of a derivative is far above its rounding
BLOCK = 2**10  # points at a time: what is made of them stays in cache


class NoiseScores:
    """The γ/p term ⟨(γ/p) b_i b_j⟩ over a sample at one state, and its derivatives."""

    def __init__(self, field: OverlapField, draw: Draw, a: Array):
        self.field, self.draw, self.c, self.a = field, draw, field.coordinates, a
        self.rank = field.basis.shape[1]
        inverse = np.linalg.inv(draw.factor)
        self.K = inverse.T @ inverse
        self.s = draw.points @ inverse

    def term(self) -> Array:
        """The term itself, as a velocity (m,)."""
        return self._lift(0.5 * self._pair(self.draw.b, self.draw.b))

    def along(self, directions: Array, weights: Array) -> Directional:
        """Derivatives of the term along rows (n, m), and Σ_α c_α of its second ones."""
        c, rows = self.c, directions[:, : self.c.first]
        da = directions[:, c.first :]
        by_law, second = np.zeros((c.first, c.pairs)), np.zeros(c.pairs)
        sigma = ((rows.T * weights) @ rows).astype(SINGLE)  # Σ_α c_α v_α v_αᵀ
        mixing = (rows.T @ (weights[:, None] * da)).astype(SINGLE)
        mixed = np.empty((len(self.s), da.shape[1]))
        correction = self._correction(directions, weights)
        for begin in range(0, len(self.s), BLOCK):
            some = slice(begin, begin + BLOCK)
            products, scores = self._products(some), self._scores(some)
            by_law += scores @ products.T
            # Σ_α c_α (q₁² − …) at every point
            score = np.einsum("ms,ms->s", sigma @ scores, scores) + correction[some].astype(SINGLE)
            second += products @ score
            mixed[some] = scores.T @ mixing
        first = np.zeros((len(directions), c.size))
        first[:, : c.pairs] = rows @ by_law
        if c.moving:
            first[:, : c.pairs] += da @ self._by_second_layer()
            second += self._mixed(mixed, da, weights)
        return Directional(first, self._lift(second))

    def _lift(self, pairs: Array) -> Array:
        """A velocity (m,) that moves Q alone, from entries i ≤ j."""
        out = np.zeros(self.c.size)
        out[: self.c.pairs] = pairs
        return out

    def _products(self, some: slice) -> Singles:
        """(γ/p) b_i b_j with their weights at some points, (pairs, S)."""
        c, draw = self.c, self.draw
        b = draw.b[some].T.astype(SINGLE, order="C")
        weight = (self.field.rate * draw.weight[some]).astype(SINGLE)
        out = np.empty((c.pairs, b.shape[1]), dtype=SINGLE)
        for i in range(c.p):
            row = np.multiply(b[i], b[i:], out=out[c.row(i)])
            row *= weight
        return out

    def _scores(self, some: slice) -> Singles:
        """∂ log p/∂y at some points, for Q and M: (first, S)."""
        c, rank = self.c, self.rank
        s, K = self.s[some].T.astype(SINGLE, order="C"), self.K.astype(SINGLE)
        z, lam = s[:rank], s[rank:]
        out = np.empty((c.first, s.shape[1]), dtype=SINGLE)
        for i in range(c.p):
            np.multiply(lam[i], lam[i:], out=out[c.row(i)])
        out[: c.pairs] -= K[rank:, rank:][c.rows, c.columns][:, None]
        out[c.diagonal] *= 0.5
        by_u = lam[:, None] * z - K[rank:, :rank, None]  # (p, rank, S)
        out[c.pairs :] = (self.field.into.astype(SINGLE) @ by_u).reshape(-1, s.shape[1])
        return out

    def _correction(self, directions: Array, weights: Array) -> Array:
        """What q₁² lacks of the second derivative: −sᵀ X s + ½ tr K X, X = Σ_α c_α δΩ_α K δΩ_α."""
        rank, size = self.rank, len(self.K)
        dQ, dM, _ = self.c.split(directions)
        delta = np.zeros((len(directions), size, size))
        delta[:, rank:, rank:] = dQ
        delta[:, rank:, :rank] = dM @ self.field.into
        delta[:, :rank, rank:] = delta[:, rank:, :rank].transpose(0, 2, 1)
        X = np.tensordot(weights, delta @ self.K @ delta, axes=1)
        quadratic = ((self.s @ X) * self.s).sum(axis=1)
        return 0.5 * float(np.trace(self.K @ X)) - quadratic

    def _slopes(self, da: Array) -> Array:
        """The change of every b_i = a_i σ'(λ_i) ε along da: one for all points (p,), or (S, p)."""
        draw = self.draw
        by_f = (draw.value * da).sum(axis=1) / self.c.p  # of f, which ε loses
        return draw.slope * (da * draw.error[:, None] - self.a * by_f[:, None])

    def _by_second_layer(self) -> Array:
        """∂ term/∂a_l, (p, pairs)."""
        return np.array([self._pair(self._slopes(row), self.draw.b) for row in np.eye(self.c.p)])

    def _pair(self, left: Array, right: Array) -> Array:
        """⟨left_i right_j + left_j right_i⟩ (γ/p), (pairs,)."""
        both = self.field.rate * (left * self.draw.weight[:, None]).T @ right
        return (both + both.T)[self.c.rows, self.c.columns]

    def _mixed(self, along: Array, da: Array, weights: Array) -> Array:
        """Σ_α c_α of the second derivatives that touch a: 2 ∂_a ∂_Ω, and ∂_a ∂_a.

        The first is linear in δa times the score q₁ at each point: along (S, p) is Σ_α c_α q₁ δa_α.
        The second takes the eigenvectors of Σ_α c_α δa_α δa_αᵀ, along each of which b bends too.
        """
        draw = self.draw
        out = 2.0 * self._pair(self._slopes(along), draw.b)
        sizes, axes = np.linalg.eigh((da * weights[:, None]).T @ da)
        for size, axis in zip(sizes, axes.T, strict=True):
            slopes = self._slopes(axis)
            by_f = draw.value @ axis / self.c.p
            bend = -2.0 * draw.slope * axis * by_f[:, None]
            out += size * (self._pair(slopes, slopes) + self._pair(bend, draw.b))
        return out
