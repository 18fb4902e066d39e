"""Averages of a target against the students: E f* σ(λ), and its slopes.

With z the principal coordinates and λ = u·z + r θ·x⊥, the drift needs G = E ∇f*(z) σ'(λ), shape
(p, rank), and b = E f* σ''(λ), (p,): by Stein's lemma E f* σ'(λ) z = G + b u. Three ways: pair by
pair for a committee; sums over Hermite coefficients for a function of z that has few, exactly for a
polynomial; nodes in z with the average over θ·x⊥ in closed form or by quadrature for anything else.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from meanfield.activations import Activation
from meanfield.gaussian.expansions import Expansion, expand
from meanfield.gaussian.pair_averages import closed_averages, expanded_averages, has_closed_form
from meanfield.gaussian.rules import coarse_share, gaussian_nodes
from meanfield.targets import CommitteeTarget, MultiIndexTarget, Target

Array = NDArray[np.float64]

FAINT = 1e-9  # of |u|: a perpendicular length that is as good as none


class TargetSlopes(NamedTuple):
    """G (p, rank) and b (p,)."""

    G: Array
    b: Array


class TargetAverages(Protocol):
    """Averages of one target against students of one activation.

    `degree` is the number of Hermite coefficients of the students that are needed, 0 for none.
    """

    degree: int

    def slopes(self, u: Array, r_squared: Array, students: Expansion | None) -> TargetSlopes:
        """G and b, for principal coordinates u (p, rank) and perpendicular lengths r² (p,)."""

    def values(self, u: Array, r_squared: Array, students: Expansion | None) -> Array:
        """E f* σ(λ), (p,)."""

    def error(self, u: Array, r_squared: Array, students: Expansion | None) -> float:
        """Estimate of the relative error of the averages."""


def choose_target_averages(sigma: Activation, target: Target) -> TargetAverages:
    """The way that suits a target."""
    if isinstance(target, CommitteeTarget):
        return CommitteeAverages(sigma, target)
    if target.series is not None:
        return SeriesAverages(*target.series)
    return NodeAverages(sigma, target)


def own_variances(u: Array, r_squared: Array) -> Array:
    """q = |u|² + r², the variances of the pre-activations."""
    return (u * u).sum(axis=1) + np.maximum(r_squared, 0.0)


class CommitteeAverages:
    """Pair by pair of student and target units."""

    def __init__(self, sigma: Activation, target: CommitteeTarget):
        self.sigma, self.link, self.basis = sigma, target.link, np.array(target.basis)
        self.weights = np.asarray(target.weights) / target.k
        self.P = np.ascontiguousarray(np.diag(np.asarray(target.gram)))
        self.closed = has_closed_form(sigma, target.link)
        self.expansions: dict[int, Expansion] = {}
        self.degree = 0
        if not self.closed:
            natural = expand(self.link, self.P)
            self.degree = natural.degree
            self.expansions[self.degree] = natural

    def _pairs(self, u: Array, r_squared: Array, students: Expansion | None):  # type: ignore[no-untyped-def]
        q, M = own_variances(u, r_squared), u @ self.basis.T
        if self.closed:
            return closed_averages(self.sigma, self.link, q, self.P, M)
        assert students is not None
        degree = students.degree
        if degree not in self.expansions:
            self.expansions[degree] = expand(self.link, self.P, degree)
        return expanded_averages(students, self.expansions[degree], q, self.P, M, same=False)

    def slopes(self, u: Array, r_squared: Array, students: Expansion | None) -> TargetSlopes:
        """See `TargetAverages`."""
        found = self._pairs(u, r_squared, students)
        return TargetSlopes((found.A * self.weights) @ self.basis, found.B @ self.weights)

    def error(self, u: Array, r_squared: Array, students: Expansion | None) -> float:
        """See `TargetAverages`: what the expansions leave out."""
        return self._pairs(u, r_squared, students).error

    def values(self, u: Array, r_squared: Array, students: Expansion | None) -> Array:
        """See `TargetAverages`."""
        return self._pairs(u, r_squared, students).value @ self.weights


class SeriesAverages:
    """Sums over Hermite coefficients f_α: E h_α(z) σ(λ) = √(|α|!/α!) Π_j (u_j/√q)^{α_j} c_{|α|}.

    Exact for a polynomial of z. Of another function `tail` is left out, the norm of what the
    coefficients do not hold over that of f*; it pairs with what the students have beyond them. Over
    the same norm, those of degree n are wrong by `errors[n]`.
    """

    def __init__(
        self, coefficients: dict[tuple[int, ...], float], tail: float = 0.0,
        errors: tuple[float, ...] = (),
    ):  # fmt: skip
        kept = {index: c for index, c in coefficients.items() if c != 0.0}
        self.alpha = np.array(list(kept), dtype=np.int64).reshape(len(kept), -1)
        self.size = self.alpha.sum(axis=1)
        self.coefficient, self.tail = np.array(list(kept.values())), tail
        self.errors = np.array(errors)
        self.degree = int(self.size.max(initial=0)) + 1
        self.ways = _multiplicity(self.alpha)
        self.slope_terms = []  # ∂_j h_α = √α_j h_{α − e_j}
        for j in range(self.alpha.shape[1]):
            held = self.alpha[:, j] > 0
            below = self.alpha[held]
            weight = self.coefficient[held] * np.sqrt(below[:, j])
            below[:, j] -= 1
            self.slope_terms.append((below, _multiplicity(below), weight))

    def _monomials(self, u: Array, q: Array, alpha: NDArray[np.int64], ways: Array) -> Array:
        """√(|α|!/α!) Π_j (u_j/√q)^{α_j}, shape (p, terms); `ways` is the factor in front."""
        root = np.sqrt(q)[:, None]
        direction = np.divide(u, root, out=np.zeros_like(u), where=root > 0.0)
        product = np.broadcast_to(ways, (len(u), len(alpha))).copy()
        for j in range(u.shape[1]):
            powers = direction[:, j, None] ** np.arange(self.degree)
            product *= powers[:, alpha[:, j]]
        return product

    def slopes(self, u: Array, r_squared: Array, students: Expansion | None) -> TargetSlopes:
        """See `TargetAverages`."""
        assert students is not None
        q = own_variances(u, r_squared)
        product = self._monomials(u, q, self.alpha, self.ways)
        b = (product * students.B[:, self.size]) @ self.coefficient
        G = np.zeros_like(u)
        for j, (below, ways, weight) in enumerate(self.slope_terms):
            G[:, j] = (
                self._monomials(u, q, below, ways) * students.S[:, below.sum(axis=1)]
            ) @ weight
        return TargetSlopes(G, b)

    def error(self, u: Array, r_squared: Array, students: Expansion | None) -> float:
        """See `TargetAverages`: what f* and the students both have beyond the coefficients.

        And what the coefficients are wrong by: √n of that times s_{n−1}, in the slopes.
        """
        assert students is not None
        left = students.slope_square - (students.S[:, : self.degree] ** 2).sum(axis=1)
        share = np.maximum(left, 0.0) / np.maximum(students.slope_square, 1e-300)
        # terms of degree n carry (|u|/√q)^n
        cosine = (u * u).sum(axis=1) / np.maximum(own_variances(u, r_squared), 1e-300)
        beyond = self.tail * np.sqrt(share * cosine**self.degree)
        n = np.arange(1, min(len(self.errors), students.degree + 1))
        size = np.sqrt(np.maximum(students.slope_square, 1e-300))[:, None]
        sizes = np.abs(students.S[:, n - 1]) / size * cosine[:, None] ** (0.5 * (n - 1))
        wrong = sizes @ (np.sqrt(n) * self.errors[n]) if len(n) else 0.0
        return float((beyond + wrong).max())

    def values(self, u: Array, r_squared: Array, students: Expansion | None) -> Array:
        """See `TargetAverages`."""
        assert students is not None
        q = own_variances(u, r_squared)
        product = self._monomials(u, q, self.alpha, self.ways)
        return (product * students.C[:, self.size]) @ self.coefficient


def _multiplicity(alpha: NDArray[np.int64]) -> Array:
    """√(|α|!/α!) of each row: the ratio is a whole number, of more digits than a float may have."""
    ways = (
        math.factorial(sum(index)) // math.prod(map(math.factorial, index))
        for index in alpha.tolist()
    )
    return np.sqrt(np.array([float(number) for number in ways]))


class NodeAverages:
    """Any function of z, on nodes: a product rule up to four coordinates, Sobol points beyond.

    Given z, λ is N(u·z, r²), so that every node needs the Gaussian averages g0, g1, g2 of σ.
    """

    degree = 0

    def __init__(self, sigma: Activation, target: MultiIndexTarget):
        self.sigma, self.target = sigma, target
        self.levels: dict[int, tuple[Array, Array]] = {}

    def _nodes(self, level: int) -> tuple[Array, Array]:
        """Points z (S, k), and weights times f* there."""
        if level not in self.levels:
            z, w = gaussian_nodes(self.target.k, smooth=self.target.smooth, level=level)
            self.levels[level] = z, w * self.target(z)
        return self.levels[level]

    def slopes(self, u: Array, r_squared: Array, students: Expansion | None) -> TargetSlopes:
        """See `TargetAverages`."""
        T, b = self._slopes(u, r_squared, 0)
        return TargetSlopes(T - b[:, None] * u, b)

    def values(self, u: Array, r_squared: Array, students: Expansion | None) -> Array:
        """See `TargetAverages`."""
        return self._values(u, r_squared, 0)

    def error(self, u: Array, r_squared: Array, students: Expansion | None) -> float:
        """See `TargetAverages`: change on more nodes, and what averages of σ miss, over norms."""
        q = own_variances(u, r_squared)
        units = expand(self.sigma, q)
        whole = math.sqrt(self.target.second_moment())
        slopes = self._slopes(u, r_squared, 1)[0] - self._slopes(u, r_squared, 0)[0]
        values = self._values(u, r_squared, 1) - self._values(u, r_squared, 0)
        sizes = np.sqrt(np.maximum(units.slope_square, 1e-300)), np.sqrt(units.square + 1e-300)
        errors = np.abs(slopes).max(axis=1) / sizes[0], np.abs(values) / sizes[1]
        found = coarse_share(self.target.k) * float(np.max(errors)) / max(whole, 1e-300)
        return max(found, units.error)

    def _slopes(self, u: Array, r_squared: Array, level: int) -> tuple[Array, Array]:
        """E f* σ'(λ) z, (p, k), and b."""
        z, weighted = self._nodes(level)
        r = np.sqrt(np.maximum(r_squared, 0.0))
        T, b = np.empty_like(u), np.empty(len(u))
        for i in range(len(u)):
            g1, g2 = self.sigma.average_slopes(u[i] @ z.T, np.full(len(z), r[i]), math.inf)
            T[i] = (weighted * g1) @ z
            # E f* σ'' multiplies perpendicular overlaps alone, which vanish with r; where there are
            # next to none it would be rounding over nothing
            seen = r[i] > FAINT * math.sqrt(float(u[i] @ u[i]))
            b[i] = float(weighted @ g2) / r[i] if seen else 0.0
        return T, b

    def _values(self, u: Array, r_squared: Array, level: int) -> Array:
        z, weighted = self._nodes(level)
        r = np.sqrt(np.maximum(r_squared, 0.0))
        averages = (
            self.sigma.average(u[i] @ z.T, np.full(len(z), r[i]), math.inf) for i in range(len(u))
        )
        return np.array([float(weighted @ average) for average in averages])
