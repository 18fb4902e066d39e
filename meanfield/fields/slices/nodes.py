"""Quadrature nodes of the field: inputs (t e, ρ), t > 0 along a direction e, and the target there.

An input's principal part is z = t e with t ~ χ_k and e uniform on the sphere; along ±e together t
is a signed number. The functions here lay out (t, ρ) and put the target's values on them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from meanfield.fields.base import Array
from meanfield.gaussian.rules import GAUSSIAN_REACH, Rule, chi_rule, panel_rule

Target = Callable[[Array], Array]


@dataclass(frozen=True)
class Nodes:
    """Nodes t, ρ (N,), their weights (N,), and the target on them (N, C), C columns of directions.

    `shape` is (number of t, number of ρ) where the nodes are their product, so that averages over
    ρ at fixed z can be taken; (N, 1) where they are not.
    """

    t: Array
    rho: Array
    weight: Array
    target: Array
    shape: tuple[int, int]

    @property
    def t_axis(self) -> Array:
        """The distinct t of a product."""
        return self.t[:: self.shape[1]]

    @property
    def rho_axis(self) -> Array:
        """The distinct ρ of a product."""
        return self.rho[: self.shape[1]]


def product_nodes(
    target: Target, columns: Array, k: int, D: float, counts: tuple[int, int]
) -> Nodes:
    """(t, ρ) as a product of χ rules, for smooth students; at d = ∞ only t."""
    return _product(target, columns, chi_rule(k, counts[0]), D, counts[1])


def graded_nodes(
    target: Target, columns: Array, k: int, D: float, breaks: int, lengths: int = 8
) -> Nodes:
    """(t, ρ) with t in panels that shrink geometrically towards 0.

    There a ReLU with r → 0 has its kink. For many or infinitely many dimensions, where the kinks
    in ρ are smoothed out.
    """
    ratio = 2.0 ** (-40.0 / breaks)
    edges = np.append(0.0, GAUSSIAN_REACH * ratio ** np.arange(breaks, -1, -1))
    t, wt = panel_rule(edges, 6)
    wt = wt * t ** (k - 1.0) * np.exp(-0.5 * t * t)
    return _product(target, columns, (t, wt / wt.sum()), D, lengths)


def _product(target: Target, columns: Array, along: Rule, D: float, lengths: int) -> Nodes:
    t, wt = along
    rho, wr = (np.ones(1), np.ones(1)) if math.isinf(D) else chi_rule(D, lengths)
    values = np.repeat(target(t[:, None, None] * columns), len(rho), axis=0)
    return Nodes(
        np.repeat(t, len(rho)), np.tile(rho, len(t)), np.outer(wt, wr).ravel(), values,
        shape=(len(t), len(rho)),
    )  # fmt: skip


def polar_nodes(target: Target, columns: Array, k: int, D: float, angles: Array) -> Nodes:
    """(t, ρ) = τ (cos χ, sin χ) at τ = 1, for homogeneous students at finite d.

    f is τ times a function of χ, so over τ only E τ² = D + k is left of f, and of f* its projection
    on τ; the rest of f* is a constant part of the risk. Panels break at χ = π/2 − ψ for every mesh
    angle ψ: there g0 has its kinks.
    """
    total = D + k
    breaks = 0.5 * math.pi - angles[angles <= 0.5 * math.pi]
    chi, weight = panel_rule(np.unique(np.append(breaks, 0.0)), 6)
    with np.errstate(divide="ignore"):
        log_density = (k - 1.0) * np.log(np.cos(chi)) + (D - 1.0) * np.log(np.sin(chi))
    weight = weight * np.exp(log_density - log_density.max())
    weight /= weight.sum()
    tau, w_tau = chi_rule(total, 64 if total <= 8 else 24)
    t, rho = np.cos(chi), np.sin(chi)
    values = np.zeros((len(chi), len(columns)))
    for length, w in zip(tau, w_tau, strict=True):
        values += w * length * target(length * t[:, None, None] * columns) / total
    return Nodes(t, rho, weight * total, values, (len(t), 1))
