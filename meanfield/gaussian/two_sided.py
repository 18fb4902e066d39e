"""Gauss rules on both sides of 0: kinks of a function on the coordinate planes cost nothing."""

from __future__ import annotations

import numpy as np

from meanfield.gaussian.rules import Rule, gauss_rule, panel_rule, product_rule


def half_gaussian_rule(nodes: int) -> Rule:
    """The Gauss rule of |x|, x standard Gaussian; its recurrence by Stieltjes's procedure."""
    x, w = panel_rule(np.array([0.0, 12.0]), 200)
    w = w * np.exp(-0.5 * x * x)
    w /= w.sum()
    before, now, size = np.zeros_like(x), np.ones_like(x), 1.0
    diagonal: list[float] = []
    squares: list[float] = []
    for _ in range(nodes):
        diagonal.append(float(w @ (x * now * now)) / size)
        ahead = (x - diagonal[-1]) * now - (squares[-1] if squares else 0.0) * before
        norm = float(w @ (ahead * ahead))
        squares.append(norm / size)
        before, now, size = now, ahead, norm
    return gauss_rule(np.array(diagonal), np.array(squares[:-1]))


def two_sided_product(k: int, nodes: int) -> Rule:
    """The k-fold product of `nodes` Gauss nodes on each side of 0, for N(0, I_k)."""
    half, weight = half_gaussian_rule(nodes)
    x, w = np.concatenate((-half[::-1], half)), 0.5 * np.concatenate((weight[::-1], weight))
    return product_rule(x, w, k)
