"""Transport without any rounding, for few points: successive shortest paths in integers.

Costs and masses are doubles, hence whole multiples of powers of two whose sums balance, and
Python's integers take any number of digits. (Edmonds & Karp 1972; Jonker & Volgenant 1987 for the
order of the search.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[Any]  # Python integers where 64 bits are too few


def as_integers(values: NDArray[np.float64]) -> Integers:
    """Positive or zero doubles as multiples, without rounding, of one power of two."""
    return integers_and_exponent(values)[0]


def integers_and_exponent(values: NDArray[np.float64]) -> tuple[Integers, int]:
    """Integers n and an exponent e with values = n 2^e."""
    digits, exponents = np.frexp(values)
    positive = values > 0
    least = int(exponents[positive].min()) if positive.any() else 0
    shifts = np.where(positive, exponents - least, 0).astype(object)
    return (digits * 2.0**53).astype(np.int64).astype(object) << shifts, least - 53


def common_total(first: Integers, second: Integers) -> tuple[list[int], list[int], int]:
    """Both masses in one unit, in which they add up to the same total."""
    n, m = int(first.sum()), int(second.sum())
    return [int(x) * m for x in first], [int(y) * n for y in second], n * m


class _Search:
    """Shortest paths, in costs less potentials, from a row that has mass left to a free column."""

    def __init__(self, cost: Integers, u: Integers, v: Integers, start: int):
        self.cost, self.u, self.v = cost, u, v
        self.done = np.zeros(cost.shape[1], dtype=bool)
        self.rows = {start: 0}  # distances of the rows reached
        self.entered = {start: -1}  # the column each was reached by
        self.lengths = self._from_row(start)
        self.before = np.full(cost.shape[1], start)

    def _from_row(self, i: int) -> Integers:
        return np.asarray(self.cost[i] - self.u[i] - self.v + self.rows[i])

    def nearest(self, demand: list[int], flows: list[dict[int, int]]) -> int:
        """The nearest column with room; potentials then move so that the path costs nothing."""
        while True:
            left = np.flatnonzero(~self.done)
            j = int(left[np.argmin(self.lengths[left])])
            if demand[j] > 0:
                break
            self.done[j] = True
            for i in flows[j]:
                if i not in self.rows:
                    self.rows[i], self.entered[i] = self.lengths[j], j
                    lengths = self._from_row(i)
                    nearer = ~self.done & (lengths < self.lengths).astype(bool)
                    self.lengths[nearer], self.before[nearer] = lengths[nearer], i
        reach = self.lengths[j]
        for i, length in self.rows.items():
            self.u[i] += reach - length
        self.v[self.done] -= reach - self.lengths[self.done]
        return j

    def path(self, j: int) -> list[tuple[int, int]]:
        """Pairs (row, column) that gain mass, from the end; between them rows give some back."""
        found = []
        while j >= 0:
            i = int(self.before[j])
            found.append((i, j))
            j = self.entered[i]
        return found


def least_cost(supply: list[int], demand: list[int], cost: Array) -> tuple[int, int, Array, Array]:
    """The least Σ mass · cost as an integer times a power of two, and potentials of both sides.

    Parameters
    ----------
    supply, demand : list of int
        Of one total.
    cost : ndarray, shape (n, m)
        At least 0.
    """
    whole, exponent = integers_and_exponent(cost)
    supply, demand = list(supply), list(demand)
    v = whole.min(axis=0)
    u = (whole - v).min(axis=1)
    flows: list[dict[int, int]] = [{} for _ in demand]  # by column: what comes from each row
    for start in range(len(supply)):
        while supply[start] > 0:
            search = _Search(whole, u, v, start)
            path = search.path(search.nearest(demand, flows))
            given_back = [(i, search.entered[i]) for i, _ in path[:-1]]
            end = path[0][1]
            mass = min([supply[start], demand[end], *(flows[j][i] for i, j in given_back)])
            for i, j in path:
                flows[j][i] = flows[j].get(i, 0) + mass
            for i, j in given_back:
                flows[j][i] -= mass
                if flows[j][i] == 0:
                    del flows[j][i]
            supply[start] -= mass
            demand[end] -= mass
    total = sum(mass * whole[i, j] for j, column in enumerate(flows) for i, mass in column.items())
    scaled = [np.array([_times_power(int(x), exponent) for x in side]) for side in (u, v)]
    return int(total), exponent, scaled[0], scaled[1]


def _times_power(x: int, exponent: int) -> float:
    return x / 2**-exponent if exponent < 0 else float(x * 2**exponent)
