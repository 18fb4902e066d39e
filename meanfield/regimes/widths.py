"""What finite width does to the risk, extrapolated in 1/p from runs at a few small widths.

The risk of gradient flow from p independent neurons has the mean R_∞ + c₁/p + c₂/p² + … and the
variance v₁/p + v₂/p² + …. A network of 4q neurons is cut into two of 2q and four of q: what the
chance of the draw does to the first order is the same in the whole and in the mean of its parts,
so that their differences show c₁ and c₂ through it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.regimes.budgets import Part
from meanfield.states import Overlaps

Array = NDArray[np.float64]

WIDEST = 32  # of the networks that are run; wider ones are extrapolated to


class Group(NamedTuple):
    """Risks (T,) of a network of 4q neurons, means over its parts, and those (4, T) of quarters."""

    whole: Array
    halves: Array
    quarters: Array


def smallest_width(p: int) -> int:
    """q: the width asked for itself, if it is small."""
    return min(p, WIDEST // 4)


def run_group(start: Overlaps, risk_of: Callable[[Overlaps], Array]) -> Group:
    """Run one network and its parts.

    Parameters
    ----------
    start : Overlaps
        Of width 4q, its neurons independent.
    risk_of : callable
        Overlaps -> risk (T,) along gradient flow.

    Returns
    -------
    Group
    """
    neurons = np.arange(start.p)
    halves = [risk_of(_part(start, some)) for some in np.split(neurons, 2)]
    quarters = [risk_of(_part(start, some)) for some in np.split(neurons, 4)]
    return Group(risk_of(start), np.mean(halves, axis=0), np.array(quarters))


def width_effect(groups: Sequence[Group], p: int) -> Part:
    """Extrapolate to width p.

    Parameters
    ----------
    groups : sequence of Group
        Three or more independent ones, with q of `smallest_width`.
    p : int

    Returns
    -------
    Part
        Of the risk at width p beyond that at p = ∞. Errors are two standard errors, by leaving out
        one group at a time; that of the bias has beside it what the next order in 1/p adds, if its
        coefficient is as large as the last's.
    """
    ratio = smallest_width(p) / p
    bias, second, spread = _estimate(groups, ratio)
    others = [_estimate([*groups[:n], *groups[n + 1 :]], ratio) for n in range(len(groups))]
    error, _, spread_error = (
        2.0 * math.sqrt((len(groups) - 1) / len(groups))
        * np.sqrt(((np.array(values) - np.mean(values, axis=0)) ** 2).sum(axis=0))
        for values in zip(*others, strict=True)
    )  # fmt: skip
    next_order = abs(0.875 * ratio - 1.75 * ratio**2 + ratio**3)
    return Part(bias, spread, error + next_order * np.abs(second), spread_error)


def _estimate(groups: Sequence[Group], ratio: float) -> tuple[Array, Array, Array]:
    """Bias at p = q/ratio, c₂/q², and the spread at p."""
    whole = np.array([one.whole for one in groups])
    halves = np.array([one.halves for one in groups])
    quarters = np.array([one.quarters for one in groups])
    means = quarters.mean(axis=1)
    # with x = c₁/q and y = c₂/q² these are −x/2 − 3y/4 and −x/4 − 3y/16
    first, then = (halves - means).mean(axis=0), (whole - halves).mean(axis=0)
    y = -8.0 / 3.0 * (first - 2.0 * then)
    x = -4.0 * then - 0.75 * y
    # q Var(q) = v₁ + v₂/q, from single networks; v₂/q from the groups, whose chances are shared
    single = quarters.reshape(-1, quarters.shape[-1]).var(axis=0, ddof=1)
    change = 16.0 / 3.0 * (means.var(axis=0, ddof=1) - whole.var(axis=0, ddof=1))
    variance = ratio * np.maximum(single - (1.0 - ratio) * change, 0.0)
    return x * ratio + y * ratio**2, y, np.sqrt(variance)


def _part(start: Overlaps, some: NDArray[np.int_]) -> Overlaps:
    """The network of some of the neurons."""
    return Overlaps(start.Q[np.ix_(some, some)], start.M[some], start.P, start.a[some])
