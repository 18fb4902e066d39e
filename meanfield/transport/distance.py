"""Wasserstein distances between laws of neurons, exact or enclosed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.states import ParticleMeasure
from meanfield.transport.bounds import interval
from meanfield.transport.clouds import Cloud, clouds_of, paired_points
from meanfield.transport.solvers import (
    TransportError,
    entropic_costs,
    exact_distance,
    mean_over_directions,
    single_atom_distance,
    sorted_distance,
)

Pairing = tuple[NDArray[np.float64], NDArray[np.float64]] | None

METHODS = ("auto", "exact", "bounds", "entropic", "sliced")
# pairs of distinct atoms up to which "auto" is exact: two seconds of network simplex
EXACT_PAIRS = 3000**2
# pairs that an entropic plan may hold: a gigabyte
ENTROPIC_PAIRS = 5000**2
PROJECTIONS = 200


class Distance(float):
    """A distance between two measures: a float that knows how it was computed.

    Attributes
    ----------
    method : str
        ``"exact"`` (proven by a dual), ``"sorted"`` (exact, all points on a line parallel to an
        axis), ``"single atom"`` (exact, one measure is a point mass), ``"bounds"`` (the middle of
        an interval that holds the distance), ``"entropic"`` (the cost of a smoothed coupling, never
        below the distance) or ``"sliced"``. A sliced value is **not** the Wasserstein distance: it
        averages one-dimensional distances over random directions, never exceeds the Wasserstein
        distance, and compares with other sliced values only.
    order : int
        1 or 2.
    error : float
        0 for the exact methods; half the interval for ``"bounds"``; the largest bias for
        ``"entropic"``; the standard error over the directions for ``"sliced"``.
    low, high : float
        An interval that holds the Wasserstein distance: the value itself where it is exact; from
        `error` below the value to the value for ``"entropic"``; from two standard errors below the
        value to infinity for ``"sliced"``.

    Examples
    --------
    >>> from meanfield.transport import Distance
    >>> distance = Distance(0.5, "exact", 2)
    >>> distance + 1, distance.method, distance.high
    (1.5, 'exact', 0.5)
    """

    method: str
    order: int
    error: float

    def __new__(cls, value: float, method: str, order: int, error: float = 0.0) -> Distance:
        """Attach to a number how it was computed."""
        distance = super().__new__(cls, value)
        distance.method, distance.order, distance.error = method, order, error
        return distance

    @property
    def low(self) -> float:
        """Lower end of an interval that holds the Wasserstein distance."""
        return max(float(self) - self.error * (2.0 if self.method == "sliced" else 1.0), 0.0)

    @property
    def high(self) -> float:
        """Upper end of that interval."""
        if self.method == "sliced":
            return math.inf
        return float(self) + (0.0 if self.method == "entropic" else self.error)

    def __getnewargs__(self) -> tuple[float, str, int, float]:  # type: ignore[override]
        return float(self), self.method, self.order, self.error

    def __repr__(self) -> str:
        error = f", error={self.error:.2g}" if self.error else ""
        return f"Distance({float(self)!r}, method={self.method!r}, order={self.order}{error})"

    def __str__(self) -> str:
        return repr(float(self))


def wasserstein(
    measure_1: ParticleMeasure,
    measure_2: ParticleMeasure,
    order: int = 2,
    *,
    method: str = "auto",
    sampled: bool = True,
    regularisation: float = 0.05,
    projections: int = PROJECTIONS,
    seed: int = 0,
) -> Distance:
    """Wasserstein distance between two laws of neurons, as points (a, u, r) with their masses.

    W = (min over couplings of E |x − y|^order)^(1/order), in the Euclidean norm. Neurons that
    coincide are merged first. A point mass, or points that differ in one coordinate only, are
    solved in closed form; then the network simplex of POT (Flamary et al. 2021), whose plan is
    called exact once a dual proves it to 1e-10 of its cost.

    Parameters
    ----------
    measure_1, measure_2 : ParticleMeasure
        With the same k; their numbers of neurons may differ.
    order : int
        1 or 2.
    method : str
        ``"exact"``, whatever it takes: memory grows with the product of the numbers of distinct
        neurons and time faster. ``"bounds"``: an interval that holds the distance, from exact
        problems between some 1700 points that stand for each measure; see the page on transport.
        ``"auto"``: exact in closed form or up to 3000 × 3000 distinct neurons, bounds beyond.
        ``"entropic"``: the cost of a coupling smoothed by an entropy, up to 5000 × 5000 distinct
        neurons: above the distance, by at most ``error``. ``"sliced"``: the sliced distance, see
        `sliced_wasserstein`, a different and smaller number.
    sampled : bool
        Whether the bounds should hold, beside the distance of the two measures as they are, that
        of two laws of which their neurons are independent draws: then they are widened by three
        standard errors. The other methods take the measures as they are.
    regularisation : float
        If entropic, the weight of the entropy over the mean of |x − y|^order between independent
        neurons: a smaller one has less bias and takes longer, about in proportion.
    projections, seed : int
        Number of random directions, and their seed, if sliced.

    Returns
    -------
    Distance
        A float, with attributes ``method``, ``order``, ``error``, ``low`` and ``high``.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or the measures differ in k.
    TransportError
        If no plan was proven to be the best (``"auto"`` then turns to bounds), the entropic plan
        has not converged, or the distance is no double.

    Examples
    --------
    >>> import meanfield as mf
    >>> start = mf.ParticleMeasure(a=[1.0, 1.0], u=[[0.0], [1.0]], r=[1.0, 1.0])
    >>> moved = mf.ParticleMeasure(a=[1.0, 1.0], u=[[0.5], [1.5]], r=[1.0, 1.0])
    >>> wasserstein(start, moved)
    Distance(0.5, method='sorted', order=2)
    """
    order = _check_order(order)
    checks.option(method, "method", METHODS)
    (first, second), exponent = clouds_of(measure_1, measure_2)
    if method == "sliced":
        found = _sliced(first, second, order, projections, seed)
    elif method == "entropic":
        found = _entropic(first, second, order, regularisation)
    else:
        neurons = [1.0 / float((m.masses**2).sum()) for m in (measure_1, measure_2)]
        points = paired_points(measure_1, measure_2, exponent)
        found = _nearest(first, second, order, method, points, neurons if sampled else None)
    return _in_size(found, exponent)


def sliced_wasserstein(
    measure_1: ParticleMeasure,
    measure_2: ParticleMeasure,
    order: int = 2,
    *,
    projections: int = PROJECTIONS,
    seed: int = 0,
) -> Distance:
    """Sliced Wasserstein distance: projections on random directions, solved by sorting.

    SW = (E_θ W(θ·x, θ·y)^order)^(1/order), θ uniform on the unit sphere of the space of
    (a, u, r) (Bonneel, Rabin, Peyré & Pfister 2015). It is a distance of its own, at most the
    Wasserstein distance, and at order 2 at most W/√(k + 2): a translation by v gives |v|/√(k + 2).
    Cost n log n a direction. The same seed takes the same directions.

    Parameters
    ----------
    measure_1, measure_2 : ParticleMeasure
        With the same k; their numbers of neurons may differ.
    order : int
        1 or 2.
    projections : int
        Number of directions, at least 2.
    seed : int
        Seed of the directions, ≥ 0.

    Returns
    -------
    Distance
        With the standard error over the directions in ``error``.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or the measures differ in k.

    Examples
    --------
    >>> import meanfield as mf
    >>> start = mf.ParticleMeasure(a=[1.0, 1.0], u=[[0.0], [1.0]], r=[1.0, 1.0])
    >>> moved = mf.ParticleMeasure(a=[1.0, 1.0], u=[[0.5], [1.5]], r=[1.0, 1.0])
    >>> mf.transport.sliced_wasserstein(start, moved).method
    'sliced'
    """
    order = _check_order(order)
    (first, second), exponent = clouds_of(measure_1, measure_2)
    return _in_size(_sliced(first, second, order, projections, seed), exponent)


def _check_order(order: Any) -> int:
    order = checks.integer(order, "order")
    if order > 2:
        raise ValueError(f"order must be 1 or 2, got {order}")
    return order


def _in_size(found: Distance, exponent: int) -> Distance:
    """A distance between clouds of size one, between those they were."""
    try:
        value, error = math.ldexp(float(found), exponent), math.ldexp(found.error, exponent)
    except OverflowError:
        raise TransportError("the distance is larger than the largest double, 1.8e308") from None
    return Distance(value, found.method, found.order, error)


def _nearest(
    first: Cloud,
    second: Cloud,
    order: int,
    method: str,
    points: Pairing,
    neurons: list[float] | None,
) -> Distance:
    """Exact in closed form or as asked, else bounds."""
    if min(first.size, second.size) == 1:
        return Distance(single_atom_distance(first, second, order), "single atom", order)
    varying = np.flatnonzero(np.ptp(np.vstack((first.points, second.points)), axis=0))
    if varying.size == 1:
        x, y = first.points[:, varying[0]], second.points[:, varying[0]]
        return Distance(sorted_distance(x, first, y, second, order), "sorted", order)
    small = first.size * second.size <= EXACT_PAIRS
    if method == "exact" or (method == "auto" and small):
        try:
            return Distance(exact_distance(first, second, order), "exact", order)
        except TransportError:
            if method == "exact":
                raise
    return _bounded(first, second, order, points, neurons)


def _bounded(
    first: Cloud,
    second: Cloud,
    order: int,
    points: Pairing,
    neurons: list[float] | None,
) -> Distance:
    found = interval(first, second, order, points)
    low, high = found.low, found.high
    if neurons is not None:
        slack = 3.0 * math.sqrt(sum(v / n for v, n in zip(found.variances, neurons, strict=True)))
        low, high = low - slack - found.excess, high + slack
    low, high = (max(bound, 0.0) ** (1 / order) for bound in (low, high))
    return Distance(0.5 * (low + high), "bounds", order, 0.5 * (high - low))


def _entropic(first: Cloud, second: Cloud, order: int, regularisation: Any) -> Distance:
    strength = checks.real(regularisation, "regularisation", above=0.0)
    if first.size * second.size > ENTROPIC_PAIRS:
        raise ValueError(
            f"method 'entropic' takes up to {ENTROPIC_PAIRS:.0e} pairs of distinct neurons, "
            f"got {first.size} x {second.size}; 'bounds' takes more"
        )
    high, low = (cost ** (1 / order) for cost in entropic_costs(first, second, order, strength))
    return Distance(high, "entropic", order, high - low)


def _sliced(first: Cloud, second: Cloud, order: int, projections: Any, seed: Any) -> Distance:
    count = checks.integer(projections, "projections", minimum=2)
    rng = np.random.default_rng(checks.integer(seed, "seed", minimum=0))
    value, error = mean_over_directions(first, second, order, count, rng)
    return Distance(value, "sliced", order, error)
