"""Wasserstein distances between laws of neurons: the only module that uses POT."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from meanfield import checks
from meanfield.states import ParticleMeasure

METHODS = ("auto", "exact", "sliced")
# pairs of distinct atoms up to which "auto" is exact: two seconds of network simplex
EXACT_PAIRS = 3000**2
PROJECTIONS = 200
# a bound that is never met: 3000 random atoms a side take under two million pivots
_MAX_PIVOTS = 10**9


class TransportError(RuntimeError):
    """The optimal transport problem was not solved to optimality."""


class Distance(float):
    """A distance between two measures: a float that knows how it was computed.

    Attributes
    ----------
    method : str
        ``"exact"`` (network simplex), ``"sorted"`` (exact, all points on a line parallel to an
        axis), ``"single atom"`` (exact, one measure is a point mass) or ``"sliced"``. A sliced
        value is **not** the Wasserstein distance: it averages one-dimensional distances over
        random directions, never exceeds the Wasserstein distance, and compares with other sliced
        values only.
    order : int
        1 or 2.
    error : float
        0 for the exact methods; the standard error over the directions for ``"sliced"``.
    """

    method: str
    order: int
    error: float

    def __new__(cls, value: float, method: str, order: int, error: float = 0.0) -> Distance:
        """Attach to a number how it was computed."""
        distance = super().__new__(cls, value)
        distance.method, distance.order, distance.error = method, order, error
        return distance

    def __getnewargs__(self) -> tuple[float, str, int, float]:  # type: ignore[override]
        return float(self), self.method, self.order, self.error

    def __repr__(self) -> str:
        error = f", error={self.error:.2g}" if self.error else ""
        return f"Distance({float(self)!r}, method={self.method!r}, order={self.order}{error})"

    def __str__(self) -> str:
        return repr(float(self))


class _Cloud(NamedTuple):
    """Distinct points (m, k + 2) and how many neurons sit on each (m,)."""

    points: NDArray[np.float64]
    counts: NDArray[np.int64]

    @property
    def masses(self) -> NDArray[np.float64]:
        return self.counts / self.counts.sum()


def wasserstein(
    measure_1: ParticleMeasure,
    measure_2: ParticleMeasure,
    order: int = 2,
    *,
    method: str = "auto",
    projections: int = PROJECTIONS,
    seed: int = 0,
) -> Distance:
    """Wasserstein distance between two laws of neurons, as points (a, u, r).

    W = (min over couplings of E |x − y|^order)^(1/order), in the Euclidean norm. Neurons that
    coincide are merged first. A point mass, or points that differ in one coordinate only, are
    solved in closed form; then the network simplex method of POT (Flamary et al. 2021) is exact.

    Parameters
    ----------
    measure_1, measure_2 : ParticleMeasure
        With the same k; their numbers of neurons may differ.
    order : int
        1 or 2.
    method : str
        ``"exact"``, whatever it takes: memory grows with the product of the numbers of distinct
        neurons and time faster. ``"sliced"``: the sliced distance, see `sliced_wasserstein`, a
        different and smaller number. ``"auto"``: exact in closed form or up to 3000 × 3000
        distinct neurons, sliced beyond; the result's ``method`` says which.
    projections, seed : int
        Number of random directions, and their seed, if sliced.

    Returns
    -------
    Distance
        A float, with attributes ``method``, ``order`` and ``error``.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or the measures differ in k.
    TransportError
        If the solver stops before it has found the optimum.

    Examples
    --------
    >>> import meanfield as mf
    >>> start = mf.ParticleMeasure(a=[1.0, 1.0], u=[[0.0], [1.0]], r=[1.0, 1.0])
    >>> moved = mf.ParticleMeasure(a=[1.0, 1.0], u=[[0.5], [1.5]], r=[1.0, 1.0])
    >>> wasserstein(start, moved)
    Distance(0.5, method='sorted', order=2)
    """
    first, second = _clouds(measure_1, measure_2)
    order = _check_order(order)
    checks.option(method, "method", METHODS)
    if method == "sliced":
        return _sliced(first, second, order, projections, seed)
    if min(len(first.counts), len(second.counts)) == 1:
        return Distance(_from_single_atom(first, second, order), "single atom", order)
    varying = np.flatnonzero(np.ptp(np.vstack((first.points, second.points)), axis=0))
    if varying.size == 1:
        x, y = first.points[:, varying[0]], second.points[:, varying[0]]
        cost = _sorted_cost(x, first.counts, y, second.counts, order)
        return Distance(cost ** (1 / order), "sorted", order)
    if method == "auto" and len(first.counts) * len(second.counts) > EXACT_PAIRS:
        return _sliced(first, second, order, projections, seed)
    return Distance(_network_simplex(first, second, order) ** (1 / order), "exact", order)


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
    Wasserstein distance: a translation by v gives |v|/√(k + 2) at order 2. Cost n log n a
    direction. The same seed takes the same directions.

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
    """
    first, second = _clouds(measure_1, measure_2)
    return _sliced(first, second, _check_order(order), projections, seed)


def _check_order(order: Any) -> int:
    order = checks.integer(order, "order")
    if order > 2:
        raise ValueError(f"order must be 1 or 2, got {order}")
    return order


def _clouds(measure_1: ParticleMeasure, measure_2: ParticleMeasure) -> tuple[_Cloud, _Cloud]:
    """Both measures as distinct points with multiplicities."""
    for name, measure in (("measure_1", measure_1), ("measure_2", measure_2)):
        checks.instance(measure, name, ParticleMeasure)
    if measure_1.k != measure_2.k:
        raise ValueError(
            f"measure_2 must have the k of measure_1, got k = {measure_2.k} and {measure_1.k}"
        )
    first, second = (
        _Cloud(*np.unique(measure.points(), axis=0, return_counts=True))
        for measure in (measure_1, measure_2)
    )
    return first, second


def _from_single_atom(first: _Cloud, second: _Cloud, order: int) -> float:
    """All mass of one side travels to or from one point."""
    lengths = np.sqrt(((first.points - second.points) ** 2).sum(axis=1))
    many = first if len(first.counts) > 1 else second
    return float(many.masses @ lengths**order) ** (1 / order)


def _sorted_cost(
    x: NDArray[np.float64],
    x_counts: NDArray[np.int64],
    y: NDArray[np.float64],
    y_counts: NDArray[np.int64],
    order: int,
) -> float:
    """E |x − y|^order under the monotone coupling, optimal in one dimension.

    Counts are brought to one denominator in integers, so that equal masses match exactly.
    """
    n, m = int(x_counts.sum()), int(y_counts.sum())
    total = math.lcm(n, m)
    along_x, along_y = np.argsort(x), np.argsort(y)
    x_ends = np.cumsum(x_counts[along_x]) * (total // n)
    y_ends = np.cumsum(y_counts[along_y]) * (total // m)
    ends = np.union1d(x_ends, y_ends)
    widths = np.diff(ends, prepend=0) / total
    # the piece of mass that ends at `ends` comes from the first atom that ends there or later
    from_x = x[along_x][np.searchsorted(x_ends, ends)]
    to_y = y[along_y][np.searchsorted(y_ends, ends)]
    return float(widths @ np.abs(from_x - to_y) ** order)


def _sliced(first: _Cloud, second: _Cloud, order: int, projections: Any, seed: Any) -> Distance:
    """Mean over random directions, with its standard error carried through the root."""
    count = checks.integer(projections, "projections", minimum=2)
    rng = np.random.default_rng(checks.integer(seed, "seed", minimum=0))
    directions = rng.standard_normal((count, first.points.shape[1]))
    directions /= np.sqrt((directions**2).sum(axis=1, keepdims=True))
    costs = np.array(
        [
            _sorted_cost(
                first.points @ theta, first.counts, second.points @ theta, second.counts, order
            )
            for theta in directions
        ]
    )
    mean = float(costs.mean())
    value = mean ** (1 / order)
    spread = float(costs.std(ddof=1)) / math.sqrt(count)
    error = spread * value / (order * mean) if mean > 0 else 0.0
    return Distance(value, "sliced", order, error)


def _network_simplex(
    first: _Cloud, second: _Cloud, order: int, max_pivots: int = _MAX_PIVOTS
) -> float:
    """Least cost of transport; raises rather than return a cost that is not the least."""
    import ot  # a second to import, and only wanted here

    cost = cdist(first.points, second.points, "sqeuclidean" if order == 2 else "euclidean")
    with warnings.catch_warnings():
        # POT returns the cost it has reached, with a warning: checked and raised below instead
        warnings.simplefilter("ignore", UserWarning)
        value, log = ot.emd2(first.masses, second.masses, cost, numItermax=max_pivots, log=True)
    if log["warning"] is not None or log["result_code"] != 1:
        raise TransportError(
            "no optimal transport plan was found between "
            f"{len(first.counts)} and {len(second.counts)} distinct neurons: {log['warning']}"
        )
    # rounding may leave a cost of zero just below it
    return max(float(value), 0.0)
