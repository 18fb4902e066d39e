"""Exact transport: clouds of distinct points, in closed form, by sorting, by network simplex."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from meanfield.states import ParticleMeasure

Array = NDArray[np.float64]

# a bound that is never met: 3000 random atoms a side take under two million pivots
MAX_PIVOTS = 10**9
# masses are added up in units of 2⁻⁵⁰, so that equal sums match exactly
UNITS = 2**50


class TransportError(RuntimeError):
    """The optimal transport problem was not solved to optimality.

    Examples
    --------
    >>> import meanfield as mf
    >>> issubclass(mf.transport.TransportError, RuntimeError)
    True
    """


class Cloud(NamedTuple):
    """Distinct points (m, dims), their masses (m,), and, if those are equal, how many neurons."""

    points: Array
    masses: Array
    counts: NDArray[np.int64] | None

    @property
    def size(self) -> int:
        """Number of distinct points."""
        return len(self.masses)

    def on(self, points: Array) -> Cloud:
        """The same masses on other points."""
        return Cloud(points, self.masses, self.counts)


def cloud_of(measure: ParticleMeasure) -> Cloud:
    """The neurons of a measure as points (a, u, r), those that coincide merged."""
    points, inverse, counts = np.unique(
        measure.points(), axis=0, return_inverse=True, return_counts=True
    )
    if measure.mass is None:
        return Cloud(points, counts / measure.n, counts.astype(np.int64))
    masses = np.bincount(inverse.ravel(), weights=measure.masses)
    return Cloud(points, masses / masses.sum(), None)


def from_single_atom(first: Cloud, second: Cloud, order: int) -> float:
    """All mass of one side travels to or from one point."""
    lengths = np.sqrt(((first.points - second.points) ** 2).sum(axis=1))
    many = first if first.size > 1 else second
    return float(many.masses @ lengths**order) ** (1 / order)


def sorted_cost(x: Array, first: Cloud, y: Array, second: Cloud, order: int) -> float:
    """E |x − y|^order under the monotone coupling of points on a line, optimal there.

    Masses are brought to one denominator in integers, so that what matches does so exactly.
    """
    if _all_equal(first) and _all_equal(second) and first.size == second.size:
        return float((np.abs(np.sort(x) - np.sort(y)) ** order).mean())
    along_x, along_y = np.argsort(x), np.argsort(y)
    if first.counts is not None and second.counts is not None:
        n, m = int(first.counts.sum()), int(second.counts.sum())
        total = math.lcm(n, m)
        x_ends = np.cumsum(first.counts[along_x]) * (total // n)
        y_ends = np.cumsum(second.counts[along_y]) * (total // m)
    else:
        total = UNITS
        x_ends, y_ends = _ends(first.masses[along_x]), _ends(second.masses[along_y])
    ends = np.union1d(x_ends, y_ends)
    widths = np.diff(ends, prepend=0) / total
    # the piece of mass that ends at `ends` comes from the first atom that ends there or later
    from_x = x[along_x][np.searchsorted(x_ends, ends)]
    to_y = y[along_y][np.searchsorted(y_ends, ends)]
    return float(widths @ np.abs(from_x - to_y) ** order)


def _all_equal(cloud: Cloud) -> bool:
    return cloud.counts is not None and int(cloud.counts.max()) == int(cloud.counts.min())


def _ends(masses: Array) -> NDArray[np.int64]:
    ends = np.rint(np.cumsum(masses) * UNITS).astype(np.int64)
    ends[-1] = UNITS
    return ends


def distances(x: Array, y: Array, order: int) -> Array:
    """|x_i − y_j|^order."""
    return np.asarray(cdist(x, y, "sqeuclidean" if order == 2 else "euclidean"))


def network_simplex(
    masses_1: Array, masses_2: Array, cost: Array, max_pivots: int = MAX_PIVOTS
) -> tuple[float, Array, Array]:
    """Least cost of transport and the potentials of either side.

    By POT (Flamary et al. 2021); raises rather than return a cost that is not the least.
    """
    import ot  # a second to import, and only wanted here

    with warnings.catch_warnings():
        # POT returns the cost it has reached, with a warning: checked and raised below instead
        warnings.simplefilter("ignore", UserWarning)
        value, log = ot.emd2(
            masses_1, masses_2 * (masses_1.sum() / masses_2.sum()), cost,
            numItermax=max_pivots, log=True,
        )  # fmt: skip
    _refuse_unsolved(log, cost.shape)
    # rounding may leave a cost of zero just below it
    return max(float(value), 0.0), np.asarray(log["u"]), np.asarray(log["v"])


def _refuse_unsolved(log: dict[str, Any], shape: tuple[int, ...]) -> None:
    if log["warning"] is not None or log["result_code"] != 1:
        raise TransportError(
            "no optimal transport plan was found between "
            f"{shape[0]} and {shape[1]} distinct neurons: {log['warning']}"
        )
