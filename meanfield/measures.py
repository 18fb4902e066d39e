"""Fewer neurons for nearly the same law, with a bound on the distance between the two.

The bound is the cost of one transport plan, hence at least the Wasserstein distance W₂ between the
laws of (a, u, r).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.states import ParticleMeasure

Array = NDArray[np.float64]

SHRINK = 0.8  # of the cells, until the bound holds
CURVE_BITS = 60  # of a position on the curve through the neurons, all coordinates together


class Reduced(NamedTuple):
    """A law by fewer neurons.

    Attributes
    ----------
    measure : ParticleMeasure
    error : float
        W₂ between it and the law it stands for, at most.

    Examples
    --------
    >>> import meanfield as mf
    >>> law = mf.ParticleMeasure(a=[1.0, 1.0], u=[[0.5], [0.5]], r=[0.3, 0.3])
    >>> reduced = mf.measures.merge(law, tolerance=0.1)
    >>> reduced.measure.n, reduced.error
    (1, 0.0)
    """

    measure: ParticleMeasure
    error: float


def merge(measure: ParticleMeasure, tolerance: float) -> Reduced:
    """Merge near-identical neurons, each group into its centre with the mass of all.

    Parameters
    ----------
    measure : ParticleMeasure
    tolerance : float
        What the transport error may come to, ≥ 0; at 0 only neurons that coincide are merged.

    Returns
    -------
    Reduced
        The measure, with masses and in no particular order, and ``error`` ≤ `tolerance`: the root
        mean square distance that mass has moved, an upper bound on W₂.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Notes
    -----
    Neurons share a group if they share a cell of a grid in (a, u, r), the largest whose error is
    within the tolerance. Time n log n. Total mass and the means of a, u and r are kept, so that f
    moves by the square of the groups' size only.

    Examples
    --------
    >>> import meanfield as mf
    >>> twins = mf.ParticleMeasure(a=[1.0, 1.0, 1.0], u=[[0.0], [0.015], [1.0]], r=[1.0, 1.0, 1.0])
    >>> merged = mf.measures.merge(twins, 0.01)
    >>> merged.measure.n, round(merged.error, 4)
    (2, 0.0061)
    """
    checks.instance(measure, "measure", ParticleMeasure)
    tolerance = checks.real(tolerance, "tolerance", minimum=0.0)
    points, mass = measure.points(), measure.masses
    cell = tolerance * math.sqrt(12.0 / points.shape[1])  # of that error if evenly filled
    while cell > 0.0:
        reduced = _merged(measure, points, mass, np.floor(points / cell))
        if reduced.error <= tolerance:
            return reduced
        cell = SHRINK * cell if cell > 1e-12 * tolerance else 0.0
    return _merged(measure, points, mass, points)


def _merged(measure: ParticleMeasure, points: Array, mass: Array, cells: Array) -> Reduced:
    _, first, group = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    group, count = group.ravel(), len(first)
    total = np.bincount(group, mass, count)
    # as distances from one of the group: coinciding neurons stay where they are, bit for bit
    shift = points - points[first][group]
    centre = np.column_stack([np.bincount(group, mass * x, count) / total for x in shift.T])
    moved = ((shift - centre[group]) ** 2).sum(axis=1)
    where = points[first] + centre
    smaller = ParticleMeasure(
        where[:, 0], where[:, 1:-1], np.maximum(where[:, -1], 0.0), total / total.sum(),
        {"merged": measure.n, "from": dict(measure.origin)},
    )  # fmt: skip
    return Reduced(smaller, math.sqrt(float(mass @ moved)))


def resample(measure: ParticleMeasure, n: int, seed: int = 0) -> Reduced:
    """The law by n neurons of equal mass, each one of those there.

    Parameters
    ----------
    measure : ParticleMeasure
    n : int
        Number of neurons wanted.
    seed : int
        Seed of the one uniform number that is drawn, ≥ 0.

    Returns
    -------
    Reduced
        The measure, and the cost of the plan that moves mass along the curve: an upper bound on
        W₂.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Notes
    -----
    Neurons are put in order along a Morton curve through (a, u, r), on which neighbours are near,
    and one is taken every 1/n of the mass (systematic resampling): a neuron of mass m appears
    n m times, rounded down or up, without bias.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> many = mf.gaussian_measure(problem, n=10_000)
    >>> few = mf.measures.resample(many, 100)
    >>> few.measure.n, few.error < 0.1
    (100, True)
    """
    checks.instance(measure, "measure", ParticleMeasure)
    n, seed = checks.integer(n, "n"), checks.integer(seed, "seed", minimum=0)
    order = np.argsort(_curve(measure.points()), kind="stable")
    mass = None if measure.mass is None else measure.mass[order]
    sorted_measure = ParticleMeasure(
        measure.a[order], measure.u[order], measure.r[order], mass, measure.origin
    )
    chosen = sorted_measure.resampled(n, seed)
    return Reduced(chosen, _monotone_cost(sorted_measure, chosen))


def _curve(points: Array) -> NDArray[np.int64]:
    """Position of each point on a Morton curve: the bits of its coordinates, interleaved."""
    dims = points.shape[1]
    bits = max(1, CURVE_BITS // dims)
    low, width = points.min(axis=0), np.ptp(points, axis=0)
    scaled = np.divide(points - low, width, out=np.zeros_like(points), where=width > 0.0)
    cells = np.minimum(scaled * 2.0**bits, 2.0**bits - 1.0).astype(np.int64)
    position = np.zeros(len(points), dtype=np.int64)
    for bit in range(bits - 1, -1, -1):
        for x in range(min(dims, CURVE_BITS)):
            position = 2 * position + ((cells[:, x] >> bit) & 1)
    return position


def _monotone_cost(one: ParticleMeasure, other: ParticleMeasure) -> float:
    """Root mean square distance when mass moves in the order of the two arrays."""
    ends_1, ends_2 = (_ends(measure.masses) for measure in (one, other))
    ends = np.union1d(ends_1, ends_2)
    widths = np.diff(ends, prepend=0.0)
    here = one.points()[np.minimum(np.searchsorted(ends_1, ends), one.n - 1)]
    there = other.points()[np.minimum(np.searchsorted(ends_2, ends), other.n - 1)]
    return math.sqrt(float(widths @ ((here - there) ** 2).sum(axis=1)))


def _ends(mass: Array) -> Any:
    """Cumulative mass, ending at 1."""
    ends = np.cumsum(mass)
    return ends / ends[-1]
