"""The least cost of transport between points with masses, between bounds that are proven.

The network simplex is POT's (Flamary et al. 2021), and only what it lacks is written here: like
SciPy's linear programs it works in doubles to a tolerance, relative to the largest cost, and says
nothing of what it missed. So its plan is taken for which pairs it uses only: what they carry is
found anew in integers, and its potentials are made to obey every constraint, which bounds the least
cost from below. What is between the two is brought down by iterative refinement (Gleixner, Steffy &
Wolter 2016): the costs less the potentials, blown up, are a problem of the same kind.

What is left over of few points is solved without any rounding, by successive shortest paths in
integers (Edmonds & Karp 1972; Jonker & Volgenant 1987 for the order of the search): costs and
masses are doubles, hence whole multiples of powers of two whose sums balance, and Python's integers
take any number of digits.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[Any]  # Python integers where 64 bits are too few
Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]

# a bound that is never met: 3000 random atoms a side take under two million pivots
MAX_PIVOTS = 10**9
ROUNDS = 8
# a gap no larger, relative to the cost, is rounding
TOLERANCE = 1e-10
# reduced costs larger than this times what is wrong are all alike to the next round
LARGEST = 1e4
# pairs up to which what is left over is solved in integers: a few seconds
WHOLE_PAIRS = 250**2
BLOCK = 2**18


class Plan(NamedTuple):
    """The cost of a plan, a lower bound of the least cost, and the potentials behind it."""

    cost: float
    low: float
    u: Array
    v: Array

    def is_optimal(self, tolerance: float = TOLERANCE) -> bool:
        """Whether the cost is the least, up to rounding."""
        return self.cost < np.inf and self.cost - self.low <= tolerance * self.cost


def network_simplex(
    masses_1: Integers, masses_2: Integers, cost: Array, tolerance: float = TOLERANCE
) -> Plan:
    """The least cost of transport.

    Parameters
    ----------
    masses_1, masses_2 : ndarray of integers
        In any units, of their own.
    cost : ndarray, shape (n, m)
        At least 0.
    tolerance : float
        Of the cost, relative to it, at which to stop.
    """
    supply, demand, total = common_total(masses_1, masses_2)
    a, b = (np.array([x / total for x in side]) for side in (supply, demand))
    reduced, scale = cost, float(cost.max())
    u, v = np.zeros(len(supply)), np.zeros(len(demand))
    best = Plan(np.inf, 0.0, u, v)
    if scale == 0.0:
        return Plan(0.0, 0.0, u, v)
    for _ in range(ROUNDS):
        used, du, dv = _pot_plan(a, b, np.minimum(reduced / scale, 1.0))
        if not (np.isfinite(du).all() and np.isfinite(dv).all()):
            break
        rows, columns, carried = _flows(*used, supply, demand)
        flows = np.array([x / total for x in carried])
        du = scale * (du - np.median(du))
        reduced, dv = _reduced(reduced, du)
        u, v = u + du, v + dv
        violated = min(float(reduced.min()), 0.0)
        missed = reduced[rows, columns]
        gap = float(flows @ np.maximum(missed, 0.0)) - violated
        value = float(flows @ cost[rows, columns])
        improved = gap < 0.5 * (best.cost - best.low)
        if improved or value < best.cost:
            best = Plan(value, value - gap, u, v) if improved else best._replace(cost=value)
        if best.is_optimal(tolerance) or not improved:
            break
        scale = LARGEST * max(float(missed.max()), -violated)
    if not best.is_optimal(tolerance) and cost.size <= WHOLE_PAIRS:
        numerator, exponent, u, v = least_cost(supply, demand, cost)
        value = (numerator << max(exponent, 0)) / (total << max(-exponent, 0))
        best = Plan(value, value, u, v)
    return best._replace(low=max(best.low, 0.0))


def _pot_plan(a: Array, b: Array, cost: Array) -> tuple[Pairs, Array, Array]:
    """The pairs that a plan uses, and potentials."""
    import ot  # a second to import, and only wanted here

    with warnings.catch_warnings():
        # what it warns of is checked by the caller
        warnings.simplefilter("ignore")
        plan, log = ot.emd(
            a, b * (a.sum() / b.sum()), cost, numItermax=MAX_PIVOTS, log=True, check_marginals=False
        )
    rows, columns = np.nonzero(plan)
    return (rows, columns), np.asarray(log["u"]), np.asarray(log["v"])


def _flows(
    rows: NDArray[np.intp], columns: NDArray[np.intp], supply: list[int], demand: list[int]
) -> tuple[NDArray[np.intp], NDArray[np.intp], list[int]]:
    """What pairs carry: those of a tree, from its leaves; what they cannot, goes as it comes."""
    n = len(supply)
    left = [*supply, *demand]
    ends = list(zip(rows.tolist(), (columns + n).tolist(), strict=True))
    at: list[set[int]] = [set() for _ in left]
    for e, (i, j) in enumerate(ends):
        at[i].add(e)
        at[j].add(e)
    leaves = [node for node, edges in enumerate(at) if len(edges) == 1]
    remaining, carried = set(range(len(ends))), [0] * len(ends)
    while remaining:
        # a cycle has no leaf: any pair of it
        e = next(iter(at[leaves.pop()]), -1) if leaves else next(iter(remaining))
        if e not in remaining:
            continue
        remaining.discard(e)
        mass = min(left[node] for node in ends[e])
        carried[e] = mass
        for node in ends[e]:
            left[node] -= mass
            at[node].discard(e)
            if len(at[node]) == 1:
                leaves.append(node)
    more = _northwest_corner(left[:n], left[n:])
    found = [(*pair, mass) for pair, mass in zip(ends, carried, strict=True) if mass]
    found += [(i, j + n, mass) for i, j, mass in more]
    where = np.array([(i, j - n) for i, j, _ in found], dtype=np.intp)
    return where[:, 0], where[:, 1], [mass for *_, mass in found]


def _northwest_corner(supply: list[int], demand: list[int]) -> list[tuple[int, int, int]]:
    """What is left on either side, brought together in order."""
    i = j = 0
    found = []
    while i < len(supply) and j < len(demand):
        mass = min(supply[i], demand[j])
        if mass:
            found.append((i, j, mass))
        supply[i] -= mass
        demand[j] -= mass
        i, j = i + (supply[i] == 0), j + (demand[j] == 0)
    return found


def _reduced(cost: Array, u: Array) -> tuple[Array, Array]:
    """cost − u − v for the largest v that leaves nothing below 0, and v.

    The two subtractions may cancel: what they round off is kept.
    """
    step = max(1, BLOCK // cost.shape[1])
    parts = [slice(i, i + step) for i in range(0, len(u), step)]
    v = np.min([(cost[part] - u[part, None]).min(axis=0) for part in parts], axis=0)
    out = np.empty_like(cost)
    for part in parts:
        first, lost = _two_sum(cost[part], -u[part, None])
        second, more = _two_sum(first, -v)
        tail, least = _two_sum(lost, more)
        total, rest = _two_sum(second, tail)
        out[part] = total + (rest + least)
    return out, v


def _two_sum(x: Array, y: Array) -> tuple[Array, Array]:
    """x + y and what rounding took of it (Knuth)."""
    total = x + y
    part = total - x
    return total, (x - (total - part)) + (y - part)


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
