"""The γ/p term of wide networks of ReLU or leaky ReLU students: sampled, without kinks in time.

Given the principal coordinates z, pre-activations are λ = u z + ν with ν ~ N(0, N). Two ideas make
a sample of them good:

- N = (N − D) + D with D diagonal and as large as it may be. Given w = u z + what N − D makes, units
  are independent of variances D, and ⟨σ'_i σ'_j ε² | w⟩ is a sum of products of moments of one unit
  (Rao and Blackwell). It is smooth in w, where σ' jumps.
- A control variate: ε̃ = f* − Σ (a_m/p) [⟨σ_m | z⟩ + ⟨σ'_m | z⟩ ν_m], what ε is to first order in ν.
  In wide networks little is left. With e = −a/p, ε̄ = ⟨ε | z⟩, β = e ⟨σ' | z⟩, b = Nβ and
  F = σ'_i σ'_j (F₀ its mean, F_i that of its derivative by ν_i), Stein's lemma gives

      ⟨F ε̃² | z⟩ = F₀ (ε̄² + βᵀNβ) + 2ε̄ (F_i b_i + F_j b_j) + 2F_ij b_i b_j + F_ii b_i² + F_jj b_j²,

  and averages of derivatives of F are Mehler's series in N_ij, which is short for the small
  correlations of wide networks. Pairs of larger ones do without.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from meanfield.dynamics.accuracy import relative
from meanfield.dynamics.overlaps.averages import Network, OverlapAverages
from meanfield.dynamics.overlaps.split import Split
from meanfield.gaussian.rules import two_sided_product
from meanfield.gaussian.sobol import REPLICATES, error_of_mean, scramblings, sobol_points
from meanfield.kernels.activations.units import LEAKY_RELU, RAMPS

Matrix = NDArray[np.float64]

ENTRIES, FEWEST, MOST = 2**20, 2**12, 2**15  # of the default sample: numbers held, points
# The mean of the control variate over z takes a product rule: NODES on each side of 0 in each of k
# coordinates, of a finer and a coarser rule; for more coordinates 2**POWERS Sobol points.
NODES = {1: (40, 28), 2: (14, 10), 3: (7, 5)}
POWERS = (11, 9)
TERMS = 5  # of Mehler's series
BLOCK = 2**17  # numbers at a time
FAR = 38.0  # standard deviations beyond which a Gaussian's tail underflows


class Moments(NamedTuple):
    """Moments of one unit given w, (S, p): of g = σ, or of another function of λ, beside σ'.

    `mean` ⟨g⟩ and `variance`; with δg = g − ⟨g⟩, `once` ⟨σ' δg⟩ and `twice` ⟨σ' (δg)²⟩;
    `square_once` and `square_twice` the same with σ'² for σ'.
    """

    mean: Matrix
    variance: Matrix
    once: Matrix
    twice: Matrix
    square_once: Matrix
    square_twice: Matrix


class SplitNoise:
    """⟨σ'(λ_i) σ'(λ_j) (ε² + Δ)⟩ of ReLU or leaky ReLU students and any target.

    Parameters
    ----------
    averages : OverlapAverages
    p : int
    samples : int or None
        Points, rounded up to a power of two; None for as many as fit.
    seed : int
    """

    name, analytic = "sampled", False

    def __init__(self, averages: OverlapAverages, p: int, samples: int | None, seed: int):
        self.averages, self.target = averages, averages.target
        sigma = averages.sigma
        self.below = float(sigma.parameter) if sigma.code == LEAKY_RELU else 0.0
        self.label_noise = 0.0
        dims, rank = self.target.rank + p, self.target.rank
        if samples is None:
            samples = min(MOST, max(FEWEST, ENTRIES // dims))
        self.Z = scramblings(dims, samples, seed)
        self.size = len(self.Z[0])
        self.fine, self.coarse = rule_of(rank, 0, seed), rule_of(rank, 1, seed)
        self.stats: dict[str, Any] = {"noise_samples": self.size * REPLICATES}

    @staticmethod
    def serves(averages: OverlapAverages) -> bool:
        """Whether these students are kinked so."""
        return averages.sigma.code in RAMPS

    def term(self, network: Network) -> Matrix:
        """See `Noise`."""
        split = Split.of(network)
        sampled = self._sampled(network, split).mean(axis=0)
        return self._whole(network, sampled + split.use * self._known(self.fine, network, split))

    def error(self, network: Network) -> float:
        """Twice the standard error over the scramblings, and that of the mean over z.

        Relative to the whole term.
        """
        split = Split.of(network)
        each = self._sampled(network, split)
        fine, coarse = (self._known(rule, network, split) for rule in (self.fine, self.coarse))
        whole = self._whole(network, each.mean(axis=0) + split.use * fine)
        # doubled too: how far two rules differ depends on where kinks lie among their nodes
        error = error_of_mean(each) + 2.0 * float(np.linalg.norm(split.use * (fine - coarse)))
        return relative(error, whole)

    def _whole(self, network: Network, term: Matrix) -> Matrix:
        """The term with label noise, Δ ⟨σ'_i σ'_j⟩, which is known without a sample."""
        if self.label_noise > 0.0:
            term = term + self.label_noise * self.averages.slope_products(network)
        return np.asarray(term)

    def _sampled(self, network: Network, split: Split) -> Matrix:
        """The term without the control variate's mean, of each scrambling: (REPLICATES, p, p)."""
        out = np.empty((REPLICATES, *network.Q.shape))
        for n, Z in enumerate(self.Z):
            sampled, variate = np.zeros_like(network.Q), np.zeros_like(network.Q)
            for points in self._blocks(Z, len(network.a)):
                self._add(points, network, split, sampled, variate)
            out[n] = (sampled - split.use * variate) / self.size
        return out

    def _blocks(self, points: Matrix, p: int) -> Iterator[Matrix]:
        rows = max(1, BLOCK // p)
        for first in range(0, len(points), rows):
            yield points[first : first + rows]

    def _add(
        self, points: Matrix, network: Network, split: Split, sampled: Matrix, variate: Matrix
    ) -> None:
        """Add the sums over points of ⟨σ'_i σ'_j ε² | w⟩ and of ⟨σ'_i σ'_j ε̃² | w⟩."""
        rank, e = network.u.shape[1], -network.a / len(network.a)
        z = points[:, :rank]
        centre, labels = z @ network.u.T, self.target(z)
        moved = points[:, rank:] @ split.root.T
        # λ_i ~ N(w_i, D_i) given w: the probability of λ_i > 0, and √D_i times the density at 0
        y = np.clip((centre + moved) / split.sd, -FAR, FAR)
        above, density = ndtr(y), gaussian(y)
        own = self._own(centre + moved, above, density, split.sd)
        line = self._line(centre, moved, y, above, density, split)
        slope = self.below + (1.0 - self.below) * above
        square = self.below**2 + (1.0 - self.below**2) * above
        for moments, out in ((own, sampled), (line, variate)):
            error = labels + moments.mean @ e
            add_products(slope, square, moments, e, error, out)

    def _own(self, w: Matrix, above: Matrix, density: Matrix, sd: Matrix) -> Moments:
        """Of σ(λ), λ of mean w and deviation sd; Gaussian moments above 0 (`high`) and below.

        σ' = 1 and c: σ'^j σ^m is λ^m above and c^(j+m) λ^m below.
        """
        c, square = self.below, w * w + sd * sd
        high, high2 = w * above + sd * density, square * above + w * sd * density
        low, low2 = w - high, square - high2
        mean = high + c * low
        slopes = [above + c**power * (1.0 - above) for power in (1, 2)]
        once = [high + c ** (power + 1) * low for power in (1, 2)]
        twice = [high2 + c ** (power + 2) * low2 for power in (1, 2)]
        first, second = (
            (o - mean * s, t - 2.0 * mean * o + mean * mean * s)
            for s, o, t in zip(slopes, once, twice, strict=True)
        )
        return Moments(mean, high2 + c * c * low2 - mean * mean, *first, *second)

    def _line(
        self, centre: Matrix, moved: Matrix, y: Matrix, above: Matrix, density: Matrix, split: Split
    ) -> Moments:  # fmt: skip
        """Of ⟨σ | z⟩ + ⟨σ' | z⟩ ν, of which a unit's own part of ν has variance D."""
        mean, slope = self._given_z(centre, split.deviation)[:2]
        D, c = split.sd * split.sd, self.below
        bent, tail = slope * split.sd * density, above - y * density
        size = slope * slope * D
        return Moments(
            mean + slope * moved, size,
            (1.0 - c) * bent, size * (c + (1.0 - c) * tail),
            (1.0 - c * c) * bent, size * (c * c + (1.0 - c * c) * tail),
        )  # fmt: skip

    def _given_z(self, centre: Matrix, deviation: Matrix) -> tuple[Matrix, Matrix, Matrix, Matrix]:
        """⟨σ | z⟩ and ⟨σ' | z⟩, and the place of the kink with the density there."""
        x = np.clip(centre / deviation, -FAR, FAR)
        above, density, c = ndtr(x), gaussian(x), self.below
        ramp = centre * above + deviation * density
        return c * centre + (1.0 - c) * ramp, c + (1.0 - c) * above, x, density

    def _known(self, rule: tuple[Matrix, Matrix], network: Network, split: Split) -> Matrix:
        """⟨σ'_i σ'_j ε̃²⟩, the mean of ⟨· | z⟩ over a rule for z: see the top for ⟨F ε̃² | z⟩."""
        (z, weight), e, c = rule, -network.a / len(network.a), self.below
        mean, slope, x, density = self._given_z(z @ network.u.T, split.deviation)
        beta = slope * e
        # b_i/√N_ii, for `slopes` are derivatives by ν_i/√N_ii: ⟨σ'⟩, ⟨σ''⟩, ... given z
        b = (beta @ split.N) / split.deviation
        error = (self.target(z) + mean @ e)[:, None]
        size = error * error + (beta * split.deviation * b).sum(axis=1)[:, None]
        jumps = hermite_functions(x, density, TERMS + 1)
        slopes = [slope, *((1.0 - c) * jump for jump in jumps)]
        out, shrink = np.zeros_like(network.Q), np.ones_like(network.Q)
        for order in range(TERMS):
            # Mehler: ⟨F⟩, F_i and so on are Σ_l ρ_ij^l/l! of products of derivatives of each unit
            now, one, two = slopes[order : order + 3]
            half = 0.5 * size * now + 2.0 * error * b * one + b * b * two
            both, cross = now.T @ (half * weight[:, None]), one * b
            out += shrink * (both + both.T + 2.0 * (cross * weight[:, None]).T @ cross)
            shrink *= split.correlation / (order + 1.0)
        square = [slope * (1.0 + c) - c, *((1.0 - c * c) * jump for jump in jumps[:2])]
        own = square[0] * size + 2.0 * error * b * square[1] + b * b * square[2]
        np.fill_diagonal(out, weight @ own)
        return out


def rule_of(k: int, level: int, seed: int) -> tuple[Matrix, Matrix]:
    """Nodes (n, k) and weights (n,) for z; level 1 is the coarser rule."""
    if k in NODES:
        return two_sided_product(k, NODES[k][level])
    points = sobol_points(k, POWERS[level], (seed, REPLICATES))
    return points, np.full(len(points), 1.0 / len(points))


def add_products(
    slope: Matrix, square: Matrix, of: Moments, e: Matrix, error: Matrix, out: Matrix
) -> None:
    """Add Σ_s ⟨σ'_i σ'_j ε²⟩ with ε = error + Σ e_m δg_m, units independent, to out (p, p)."""
    variance = of.variance * (e * e)
    whole = (error * error + variance.sum(axis=1))[:, None]
    near = 2.0 * error[:, None] * e
    left = 0.5 * whole * slope + near * of.once + e * e * of.twice - variance * slope
    both = slope.T @ left
    cross = e * of.once
    total = both + both.T + 2.0 * cross.T @ cross
    own = square * (whole - variance) + near * of.square_once + e * e * of.square_twice
    np.fill_diagonal(total, own.sum(axis=0))
    out += total


def gaussian(x: Matrix) -> Matrix:
    """The standard density."""
    return np.asarray(np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi))


def hermite_functions(x: Matrix, density: Matrix, count: int) -> list[Matrix]:
    """The derivatives of Φ from the first on: (−1)^l He_l(x) times the density."""
    found = [density, -x * density]
    for order in range(1, count):
        found.append(-x * found[-1] - order * found[-2])
    return found[: count + 1]
