"""Rules over the inputs that the principal subspace sees: z ~ N(0, I_k), and ρ ~ χ_D outside.

Tensor Gauss–Hermite rules for few directions; beyond, low-discrepancy points (a scrambled Sobol
sequence), whose error other scramblings of the same size reveal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from meanfield.fields.base import Array
from meanfield.gaussian.panels import find_panels
from meanfield.gaussian.rules import (
    GAUSSIAN_REACH,
    chi_rule,
    hermite_rule,
    mirrored,
    panel_rule,
)
from meanfield.gaussian.sobol import sobol_points
from meanfield.problem import Problem
from meanfield.targets import Target

AXIS_LADDER = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
PANEL_LADDER = (20, 40, 80, 160)
POWERS = range(10, 18)
MOST_NODES = 2**17
MOST_PAIRS = 2**29  # of a neuron and a node: a right-hand side of a few seconds
SCRAMBLINGS = 3  # independent ones, for the error
FINER = 1.35  # how many more nodes there are in a rule that checks another
FEW_NODES, FEW_RADII = 2**10, 3  # of rules on which averages are taken one by one
NEGLIGIBLE_WEIGHT = 1e-15  # of a tensor rule, what its outermost nodes may carry together


@dataclass(frozen=True)
class InputRule:
    """Nodes z (k, N) with weights (N,) times nodes ρ (B,) with weights (B,).

    Attributes
    ----------
    kind : str
        ``"tensor"``, ``"graded"`` or ``"sobol"``.
    size : int
        Nodes along an axis, panels on a side, or the power of two of the number of points.
    """

    kind: str
    size: int
    z: Array
    weight: Array
    rho: Array
    rho_weight: Array

    @property
    def joint_weight(self) -> Array:
        """Weights of the product, shape (B, N)."""
        return np.outer(self.rho_weight, self.weight)

    @property
    def nodes(self) -> int:
        """Number of nodes in all."""
        return self.z.shape[1] * len(self.rho)


def tensor_rule(k: int, D: float, size: int, radii: int) -> InputRule:
    """Gauss–Hermite nodes, `size` on each axis, without those that carry no weight."""
    x, w = hermite_rule(size)
    weight = w
    z = x[None, :]
    for _ in range(1, k):
        weight = np.outer(weight, w).ravel()
        z = np.vstack((np.repeat(z, size, axis=1), np.tile(x, z.shape[1])))
        kept = _carrying(weight)
        z, weight = z[:, kept], weight[kept]
    kept = _carrying(weight)
    weight = weight[kept] / weight[kept].sum()
    return InputRule("tensor", size, np.ascontiguousarray(z[:, kept]), weight, *_radii(D, radii))


def graded_rule(D: float, panels: int, radii: int, breaks: Sequence[float] = ()) -> InputRule:
    """k = 1, with a kink at the origin: panels that shrink geometrically towards it.

    They end at the breaks of the target, too, and at their mirror images.
    """
    edges = np.append(0.0, GAUSSIAN_REACH * 2.0 ** (-40.0 * np.arange(panels, -1, -1) / panels))
    edges = np.union1d(edges, [abs(z) for z in breaks if abs(z) < GAUSSIAN_REACH])
    t, w = panel_rule(edges, 6)
    w = w * np.exp(-0.5 * t * t)
    z, weight = mirrored(t, w / (2.0 * w.sum()))
    return InputRule("graded", panels, z[None, :], weight, *_radii(D, radii))


def breaks_of(target: Target) -> tuple[float, ...]:
    """Where some derivative of a function of one coordinate jumps, declared or not."""
    if target.rank != 1:
        return ()
    return find_panels(lambda z: target(z.reshape(-1, 1)).reshape(z.shape)).points


def sobol_rule(k: int, D: float, power: int, radii: int, seed: int) -> InputRule:
    """2^power Gaussian points from a scrambled Sobol sequence, brought to exact mean and variance.

    The correction makes the rule exact for quadratic functions of z, which dominate early fields.
    """
    z = sobol_points(k, power, seed).T
    z -= z.mean(axis=1, keepdims=True)
    spread = np.linalg.cholesky(np.einsum("xq,yq->xy", z, z) / z.shape[1])
    z = np.ascontiguousarray(np.linalg.solve(spread, z))
    weight = np.full(z.shape[1], 1.0 / z.shape[1])
    return InputRule("sobol", power, z, weight, *_radii(D, radii))


def with_radii(rule: InputRule, D: float, radii: int) -> InputRule:
    """The same z with another number of ρ."""
    rho, rho_weight = _radii(D, radii)
    return replace(rule, rho=rho, rho_weight=rho_weight)


def radius_count(D: float, longest: float) -> int:
    """How many ρ to start from; the law of ρ narrows as D grows."""
    if D <= 8:
        return math.ceil(18 + 7 * longest)
    return math.ceil(3 + (8 + 7 * longest) / math.sqrt(D))


def _radii(D: float, count: int) -> tuple[Array, Array]:
    """Nodes for ρ; at d = ∞ one, at 1: there U is itself the standard Gaussian."""
    return (np.ones(1), np.ones(1)) if math.isinf(D) else chi_rule(D, count)


def _carrying(weight: Array) -> Array:
    """Which nodes carry all but a negligible part of the weight, in their order."""
    order = np.argsort(weight, kind="stable")
    spent = np.cumsum(weight[order]) <= NEGLIGIBLE_WEIGHT
    kept = np.ones(len(weight), dtype=bool)
    kept[order[spent]] = False
    return kept


class Ladder:
    """The rules that serve a problem, from few nodes to many, and those they are held against."""

    def __init__(self, problem: Problem):
        self.k, self.D = problem.subspace_dim, problem.perpendicular_dim
        self.kinked = not (problem.student.smooth and problem.target.smooth)
        self.breaks = breaks_of(problem.target)

    def rule(self, kind: str, size: int, radii: int) -> InputRule:
        """A rule from its description."""
        if kind == "tensor":
            return tensor_rule(self.k, self.D, size, radii)
        if kind == "graded":
            return graded_rule(self.D, size, radii, self.breaks)
        return sobol_rule(self.k, self.D, size, radii, seed=0)

    def rules(self, n: int, radii: int) -> Iterator[InputRule]:
        """Rules for n neurons, in the order they are tried."""
        most = max(2 ** POWERS[0], min(MOST_NODES, MOST_PAIRS // n)) // radii
        if self.k == 1 and (self.kinked or self.breaks):
            for panels in PANEL_LADDER:
                yield self.rule("graded", panels, radii)
        elif not self.kinked and self.k <= 3:
            for size in AXIS_LADDER:
                rule = self.rule("tensor", size, radii)
                if size > AXIS_LADDER[0] and rule.z.shape[1] > most:
                    return
                yield rule
        else:
            for power in POWERS:
                if power == POWERS[0] or 2**power <= most:
                    yield self.rule("sobol", power, radii)

    def checking(self, rule: InputRule) -> list[InputRule]:
        """Rules to hold one against: a finer one, or other scramblings."""
        radii = len(rule.rho) if math.isinf(self.D) else math.ceil(FINER * len(rule.rho))
        if rule.kind != "sobol":
            return [self.rule(rule.kind, math.ceil(FINER * rule.size), radii)]
        seeds = range(1, 1 + SCRAMBLINGS)
        return [sobol_rule(self.k, self.D, rule.size, radii, seed) for seed in seeds]

    def small(self, rule: InputRule) -> InputRule:
        """The same with a few ρ, and one of its kind where its nodes are many.

        A table errs to both sides of a kink, which only as many nodes as are used average out.
        """
        size, nodes, radii = rule.size, rule.z.shape[1], min(FEW_RADII, len(rule.rho))
        while nodes > FEW_NODES:
            size, nodes = (
                (size - 1, nodes // 2) if rule.kind == "sobol" else (size // 2, nodes // 2**self.k)
            )
        return self.rule(rule.kind, size, radii)
