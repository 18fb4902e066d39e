"""The γ/p term of wide networks by cumulants: without a sample, and smooth in time.

Given the principal coordinates z, pre-activations are λ_i = u_i·z + r_i g_i with g Gaussians of
correlations R, and ε = ε̄(z) + X with X = Σ_m e_m δσ(λ_m), e_m = −a_m/p, δ for what is left
without the mean given z. For a = σ'(λ_i) and b = σ'(λ_j), with letters for means and κ for
cumulants given z,

    ⟨a b ε²⟩ = (ab + κ(a,b)) (ε̄² + κ(X,X)) + 2ε̄ [a κ(b,X) + b κ(a,X) + κ(a,b,X)]
               + 2κ(a,X) κ(b,X) + a κ(b,X,X) + b κ(a,X,X) + κ(a,b,X,X).

The cumulants are joint cumulants, linear in each argument, so that those with X are sums over
units. By Mehler's formula ⟨f(g_i) h(g_m)⟩ = Σ_k R_im^k/k! ⟨f He_k⟩ ⟨h He_k⟩ each is a sum over
connected graphs of units, with an edge of R^k/k! between two of them, and for each unit the average
of its functions with one Hermite polynomial to each of its edges. In wide networks R is small for
different units, and e is of order 1/p: what is taken are pairs in full, and of three and four units
all trees but the path i – m – n – j, with edges of several powers. Where units coincide the
averages are those of one unit, exactly. That path and graphs with a loop are left out: their size
is the stated error.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.activations import Activation
from meanfield.dynamics.overlaps.averages import Network, OverlapAverages
from meanfield.dynamics.overlaps.unit_moments import Response, UnitMoments, step_for, unit_moments
from meanfield.gaussian.rules import Rule, product_rule, two_sided_product
from meanfield.gaussian.sobol import sobol_points
from meanfield.kernels.activations.units import RAMPS
from meanfield.targets import Target

Matrix = NDArray[np.float64]

ORDERS = 7  # coefficients of Mehler's series of a pair
TREE_POWERS = 3  # powers of an edge in a tree
JOINED = 3  # trees hang on i and j where the power of R_ij between them is below this
# Rules for z by its number of coordinates k: a fine one, a coarser one for the error, and one for
# graphs in which a third unit joins i and j. Smooth students take the trapezoidal rule with STEPS,
# kinked ones a product of rules with NODES on each side of 0, larger k 2**POWERS Sobol points.
STEPS = {1: (0.3, 0.4, 1.0), 2: (0.42, 0.5, 1.3), 3: (0.75, 0.85, 1.8), 4: (1.1, 1.2, 2.0)}
NODES = {1: (40, 28, 8), 2: (22, 16, 4), 3: (8, 6, 2)}
POWERS = (11, 10, 6)
LEAST_WEIGHT = 1e-9  # of a node, over the largest
# the rule in g_i takes steps so much shorter beside the coarser rule for z, so that it shows an
# error of both
FINER = 0.8
LOOPS = 2.0  # the error is this times what `_loops` computes, which bounds it in wide networks
LEAST = 1e-6  # stated error: what both rules share, such as where they end, no difference shows
FACTORIAL = [float(math.factorial(n)) for n in range(ORDERS)]
BLOCK = 2**14  # units times nodes at a time


class Edges(NamedTuple):
    """Powers of R (ORDERS, p, p), 0 on the diagonal but for power 0; r (p,), e = −a/p (p,)."""

    powers: Matrix
    r: Matrix
    e: Matrix

    @classmethod
    def of(cls, network: Network) -> Edges:
        """Those of a network."""
        assert network.N is not None
        least = 1e-12 * np.sqrt(np.maximum(np.diag(network.Q), 1e-280))
        r = np.maximum(np.sqrt(np.maximum(np.diag(network.N), 0.0)), least)
        R = network.N / np.outer(r, r)
        np.fill_diagonal(R, 0.0)
        powers = np.stack([np.ones_like(R), *(R**n for n in range(1, ORDERS))])
        return cls(powers, r, -network.a / len(network.a))


class Trees(NamedTuple):
    """What X adds to a graph by units that hang on unit i, at nodes z: (n, p) at each k.

    With x_m^k = e_m ⟨δσ_m He_k⟩ and m any unit but i, an edge R_im^k/k! brings
    `one` Σ_m x_m^k, one factor X; `same` Σ_m e_m² ⟨(δσ_m)² He_k⟩, two factors X at the same unit;
    `chain`, one X at m and one at a unit that hangs on m. `fork` is two different units on i, k
    powers of R in all. `variance` (n,) is κ(X, X).
    """

    one: list[Matrix]
    same: list[Matrix]
    chain: list[Matrix]
    fork: list[Matrix]
    variance: Matrix

    @classmethod
    def of(cls, unit: UnitMoments, edges: Edges) -> Trees:
        """Those of units at some nodes."""
        R, e, few = edges.powers, edges.e, range(1, TREE_POWERS + 1)
        x, none = e * unit.value, np.zeros_like(unit.mean)
        one = [none, *(x[k] @ R[k] / FACTORIAL[k] for k in range(1, ORDERS))]
        same = [none, *((e * e * unit.square[k]) @ R[k] / FACTORIAL[k] for k in few)]
        variance = (e * e * unit.square[0]).sum(axis=1) + (x * np.array(one)).sum(axis=(0, 2))
        hanging = [np.sum([x[k + n] * one[n] for n in few], axis=0) for k in few]
        chain = [none, *(hanging[k - 1] @ R[k] / FACTORIAL[k] for k in few)]
        # in the chain i – m – n, n may be i again, which is no tree: the largest of these goes
        chain[1] -= x[1] * (x[2] @ R[2])
        fork = [none] * (TREE_POWERS + 2)
        for k, n in ((1, 1), (1, 2), (1, 3), (2, 2)):
            both_at_m = (x[k] * x[n]) @ R[k + n] / (FACTORIAL[k] * FACTORIAL[n])
            apart = one[k] * one[n] - both_at_m
            fork[k + n] = fork[k + n] + (1.0 if k == n else 2.0) * apart
        return cls(one, same, chain, fork, variance)

    def responses(
        self, c: Response, unit: UnitMoments, e: Matrix, joined: int
    ) -> tuple[Matrix, Matrix]:
        """κ(c_i, X) and κ(c_i, X, X), (n, p), with R^joined to another unit at i.

        That is with He_joined beside c_i. First those with X at i, then with units that hang on i.
        """
        first, second = e * c.once[joined], c.twice[joined].copy()
        if joined:  # a cumulant: the average of a product less those that split it into pairs
            second -= 2.0 * c.once[0] * unit.value[joined] + unit.square[0] * c.own[joined]
        second *= e * e
        for k in range(1, ORDERS - joined):
            first += c.own[joined + k] * self.one[k]
        for k in range(1, TREE_POWERS + 1):
            own, once = c.own[joined + k], c.once[joined + k]
            if joined:
                apart = c.own[joined] * unit.value[k] + c.own[k] * unit.value[joined]
                once = once - apart
            second += 2.0 * e * once * self.one[k] + own * (self.same[k] + 2.0 * self.chain[k])
        for k in range(2, min(len(self.fork), ORDERS - joined)):
            second += c.own[joined + k] * self.fork[k]
        return first, second


class ExpandedNoise:
    """⟨σ'(λ_i) σ'(λ_j) (ε² + Δ)⟩ of wide networks: smooth students, or ReLU and leaky ReLU.

    Parameters
    ----------
    averages : OverlapAverages
    seed : int
        Of the points for z, where equal steps or nodes would be too many.
    """

    name, analytic = "expanded", False

    def __init__(self, averages: OverlapAverages, seed: int):
        self.target, self.sigma = averages.target, averages.sigma
        self.label_noise = 0.0
        self.stats: dict[str, Any] = {}
        self.fine, self.coarse, self.few = (
            rule_of(self.target, self.sigma, level, seed) for level in range(3)
        )
        # steps h of the trapezoidal rule miss e^(−c/h): the fine rule misses what the coarser one
        # does to the power of the ratio of steps
        steps = STEPS.get(self.target.rank, (1.0, 1.0))
        self.gain = 1.0 if self.sigma.code in RAMPS else steps[1] / steps[0]

    @staticmethod
    def serves(averages: OverlapAverages) -> bool:
        """Whether these students are smooth, or kinked in the way that has closed forms."""
        sigma = averages.sigma
        return sigma.code in RAMPS or (sigma.smooth and not sigma.kinks and not sigma.breaks)

    def term(self, network: Network) -> Matrix:
        """See `Noise`."""
        edges = Edges.of(network)
        return self._by_rule(self.fine, network, edges) + self._through_others(network, edges)

    def error(self, network: Network) -> float:
        """From coarser rules, powers of R that are cut off, and the graphs with loops."""
        edges = Edges.of(network)
        fine = self._by_rule(self.fine, network, edges)
        coarse = self._by_rule(self.coarse, network, edges, FINER)
        size = float(np.linalg.norm(fine))
        if size == 0.0:
            return 0.0
        missed = float(np.linalg.norm(fine - coarse)) / size
        loops = float(np.linalg.norm(self._loops(network, edges))) / size
        missed = missed**self.gain if missed < 1.0 else missed
        # what trees cut off of an edge's powers counts where units are strongly correlated
        p = len(network.a)
        cut = math.sqrt(float(edges.powers[2].sum()) / (p * max(p - 1, 1))) ** (TREE_POWERS + 1)
        return max(missed, LEAST, cut) + LOOPS * loops

    def _unit(self, z: Matrix, network: Network, edges: Edges, finer: float = 1.0) -> UnitMoments:
        step = finer * step_for(self.sigma, edges.r)
        return unit_moments(self.sigma, z @ network.u.T, edges.r, ORDERS, step)

    def _by_rule(self, rule: Rule, network: Network, edges: Edges, finer: float = 1.0) -> Matrix:
        """All but graphs in which a third unit joins i and j."""
        p = len(network.a)
        both, own = np.zeros((ORDERS, p, p)), np.zeros(p)
        rows = max(1, BLOCK // p)
        for first in range(0, len(rule[0]), rows):
            z, weight = (part[first : first + rows] for part in rule)
            self._add(z, weight[:, None], self._unit(z, network, edges, finer), edges, both, own)
        for n in range(ORDERS):
            both[n] *= edges.powers[n] / FACTORIAL[n]
        out = both.sum(axis=0)
        out += out.T
        np.fill_diagonal(out, own)
        return out

    def _add(
        self, z: Matrix, weight: Matrix, unit: UnitMoments, edges: Edges, both: Matrix, own: Matrix
    ) -> None:
        """Add sums over nodes to `both`, by the power n of R_ij, and to `own`, those of i = j.

        `both` will be added to its transpose, and takes ½ (ε̄² + κ(X, X)) ab, 2ε̄ a κ(b, X),
        a κ(b, X, X) and κ(a, X) κ(b, X).
        """
        e, trees, slope = edges.e, Trees.of(unit, edges), unit.slope.own
        mean = (self.target(z) + unit.mean @ e)[:, None]
        size = mean * mean + trees.variance[:, None] + self.label_noise
        ones = []
        for n in range(ORDERS):
            left = 0.5 * size * slope[n]
            if n < JOINED:
                one, two = trees.responses(unit.slope, unit, e, n)
                left += 2.0 * mean * one + two
                both[n] += one.T @ (weight * one)
                ones.append(one)
            if n == 2:
                # With n = 1 the units that hang on i include j, by a second edge. These graphs
                # are those of n = 2 with an X at j, and would be counted twice.
                x = e * unit.value[1]
                left -= 4.0 * mean * slope[1] * x + 4.0 * x * ones[1]
                left -= 2.0 * slope[1] * e * e * unit.square[1]
                both[2] -= 4.0 * (ones[2] - slope[1] * x).T @ (weight * slope[1] * x)
            both[n] += slope[n].T @ (weight * left)
        one, two = trees.responses(unit.slope_square, unit, e, 0)
        own += (weight * (size * unit.slope_square.own[0] + 2.0 * mean * one + two)).sum(axis=0)

    def _through_others(self, network: Network, edges: Edges) -> Matrix:
        """Trees in which i and j are joined by a third unit m: Σ_m R_im R_jm ⟨e_m δσ_m He_2⟩ ….

        One X is at m. In the terms with two the other is at one of the three, or hangs on it.
        """
        (z, weight), e, R = self.few, edges.e, edges.powers[1]
        unit = self._unit(z, network, edges)
        trees, value, slope = Trees.of(unit, edges), unit.value, unit.slope.own[1]
        mean = (self.target(z) + unit.mean @ e)[:, None]
        at_end = mean * slope + 2.0 * trees.responses(unit.slope, unit, e, 1)[0]
        at_third = e * value[3] * trees.one[1] + e * e * (0.5 * unit.square[2] - value[1] ** 2)
        out = np.zeros_like(network.Q)
        for n, w in enumerate(weight):
            left = np.outer(at_end[n], e * value[2][n]) + np.outer(slope[n], at_third[n])
            out += (left * R) @ (R * (w * slope[n][:, None])).T
        out += out.T
        np.fill_diagonal(out, 0.0)
        return out

    def _loops(self, network: Network, edges: Edges) -> Matrix:
        """The largest of the graphs that are left out, for their size.

        With two units m, n beside i and j: the path i – m – n – j, its edge m – n of one or two
        powers, and the loop i – m – n – i. With one: a double edge from m to j, and the loop
        i – m – j – i.
        """
        (z, weight), R = self.few, edges.powers
        unit = self._unit(z, network, edges)
        mean, none = self.target(z) + unit.mean @ edges.e, np.zeros_like(network.Q)
        out = none.copy()
        for n, w in enumerate(weight):
            x, slope = edges.e * unit.value[:, n], unit.slope.own[:, n]
            # i – m by one edge, where m has one or two more to a unit n; then with that edge and n
            bent = [none, R[1] * x[2], R[1] * x[3]]
            through = [bent[k] @ R[k] / FACTORIAL[k] for k in range(3)]
            around = sum(through[k] @ bent[k].T for k in (1, 2))
            half = np.outer(slope[1], slope[1]) * around
            half += np.outer(slope[0], slope[2] * np.diag(around))
            once, twice = slope[1][:, None] * R[1], 0.5 * slope[2][:, None] * R[2]
            one = (once * x[3]) @ twice.T + 0.5 * (twice * x[4]) @ twice.T
            half += 2.0 * mean[n] * (one + R[1] * np.outer(slope[2], slope[2]) * through[1])
            out += w * (half + half.T)
        return out


def rule_of(target: Target, sigma: Activation, level: int, seed: int) -> Rule:
    """Nodes (n, k) and weights (n,) for z: fine, coarser, few."""
    k, kinked = target.rank, sigma.code in RAMPS
    if k not in (NODES if kinked else STEPS):
        points = sobol_points(k, POWERS[level], (seed, level))
        return points, np.full(len(points), 1.0 / len(points))
    if kinked:
        z, weight = two_sided_product(k, NODES[k][level])
    else:
        line = np.linspace(-20.0, 20.0, 41) * STEPS[k][level]
        z, weight = product_rule(line, np.exp(-0.5 * line * line), k)
    kept = weight > LEAST_WEIGHT * weight.max()
    z, weight = z[kept], weight[kept]
    if sigma.odd and np.allclose(target(-z), -target(z), rtol=0.0, atol=1e-12):
        # The integrand is even: of z and −z one is enough, with twice the weight. They lie in
        # order, z at one end as −z at the other, and 0 in the middle.
        half = (len(z) + 1) // 2
        z, weight = z[:half], np.append(2.0 * weight[: half - 1], weight[half - 1])
    return z, weight / weight.sum()
