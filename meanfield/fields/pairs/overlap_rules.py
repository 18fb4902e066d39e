"""Rules over Z, the cosine of the perpendicular parts of two neurons."""

from __future__ import annotations

import math

import numpy as np

from meanfield.gaussian.rules import Rule, sphere_coordinate_rule

NODE_LADDER = (2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384)
SMOOTH_TOLERANCE = 1e-13
KINKED_TOLERANCE = 1e-8
FINER = 2.0  # how many more nodes check the rule over Z


def overlap_rule(D: float, r_max: float, *, smooth: bool) -> Rule:
    """Rule over Z fine enough for neurons of perpendicular length up to `r_max`.

    The hardest integrand is the slope of a neuron paired with one of its own length at u = 0; the
    rule is the first of a ladder that agrees with the next on it.
    """
    if math.isinf(D) or D == 1:
        return sphere_coordinate_rule(D, 1)

    q = min(r_max, 1e150) ** 2  # a larger one would overflow, and changes nothing
    share = q / (1.0 + q)

    def slope(rule: Rule) -> float:
        Z, w = rule
        if smooth:
            return float(w @ (Z * Z / np.sqrt(1.0 - (share * Z) ** 2)))
        return float(w @ (Z * np.arcsin(Z)))

    tolerance = SMOOTH_TOLERANCE if smooth else KINKED_TOLERANCE
    ladder = NODE_LADDER if smooth else NODE_LADDER[: NODE_LADDER.index(64) + 1]
    rules = (sphere_coordinate_rule(D, nodes) for nodes in ladder)
    rule = next(rules)
    for finer in rules:
        coarse, fine = slope(rule), slope(finer)
        if abs(coarse - fine) <= tolerance * abs(fine):
            return rule
        rule = finer
    return rule


def finer_rule(D: float, rule: Rule) -> Rule:
    """A rule over Z of more nodes."""
    if len(rule[0]) < 2 or D == 1:
        return rule
    return sphere_coordinate_rule(D, math.ceil(FINER * len(rule[0])))
