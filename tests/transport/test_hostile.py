"""Distances between neurons of which some ran away, or carry next to nothing: exact or refused."""

import itertools
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest

import meanfield as mf
from meanfield.transport import TransportError, wasserstein
from meanfield.transport import simplex as simplex_room

METHODS = ("exact", "auto", "bounds", "sliced")


def measure_of(points, mass=None):
    return mf.ParticleMeasure(points[:, 0], points[:, 1:-1], np.abs(points[:, -1]), mass)


def vertices(n, m, supply, demand):
    """What the pairs of each spanning tree carry, if none carries less than nothing."""
    for edges in itertools.combinations(list(itertools.product(range(n), range(m))), n + m - 1):
        left, remaining, flows = [*supply, *demand], set(edges), {}
        while remaining:
            ends = [end for i, j in remaining for end in (i, n + j)]
            leaf = next((end for end in ends if ends.count(end) == 1), None)
            if leaf is None:
                break
            i, j = edge = next(e for e in remaining if leaf in (e[0], n + e[1]))
            flows[edge] = mass = left[leaf]
            left[i] -= mass
            left[n + j] -= mass
            remaining.discard(edge)
        if not remaining and not any(left) and all(mass >= 0 for mass in flows.values()):
            yield flows


def least(x, y, a, b, order):
    """By every vertex of the polytope of plans, in fractions."""
    with localcontext() as context:
        context.prec, context.Emax, context.Emin = 80, 10**6, -(10**6)
        cost = {}
        for i, j in itertools.product(range(len(x)), range(len(y))):
            pairs = zip(x[i], y[j], strict=True)
            square = sum((Decimal(float(p)) - Decimal(float(q))) ** 2 for p, q in pairs)
            cost[i, j] = square if order == 2 else square.sqrt()
        sides = [[Fraction(float(m)) for m in side] for side in (a, b)]
        sides = [[m / sum(side) for m in side] for side in sides]
        found = min(
            sum(Decimal(f.numerator) / Decimal(f.denominator) * cost[e] for e, f in flows.items())
            for flows in vertices(len(x), len(y), *sides)
        )
        return float(found.sqrt() if order == 2 else found)


def holds(first, second, order, expected, methods=METHODS):
    """Every method right or refused; returns whether the exact one was right."""
    for method in methods:
        try:
            found = wasserstein(first, second, order, method=method, sampled=False)
        except TransportError:
            assert method in ("exact", "entropic")
            continue
        assert found.low <= expected * (1 + 1e-9) and found.high >= expected * (1 - 1e-9), method
        if found.method in ("exact", "sorted"):
            assert found == pytest.approx(expected, rel=1e-9), method
    try:
        return wasserstein(first, second, order, method="exact") > 0
    except TransportError:
        return False


@pytest.mark.parametrize(
    ("scale", "refused"), [(1e8, 0), (1e16, 0), (1e154, 4), (1e300, 6), (1e-200, 0), (1e-310, 0)]
)
def test_neurons_that_ran_away(scale, refused):
    """One of three at the scale on both sides; below one, all of them."""
    rng = np.random.default_rng(int(abs(np.log10(scale))))
    right = 0
    for trial in range(6):
        x, y = np.abs(rng.normal(size=(2, 3, 3)))
        if scale < 1:
            x, y = x * scale, y * scale
        else:
            x[0] = scale * np.abs(rng.normal(size=3))
            y[2] = x[0] * (1.0 if trial % 2 else 1.0 + 1e-9)
        order = 1 + trial // 3
        expected = least(x, y, np.ones(3), np.ones(3), order)
        methods = METHODS if scale < 1 else (*METHODS, "entropic")
        right += holds(measure_of(x), measure_of(y), order, expected, methods)
    assert right >= 6 - refused


def test_masses_over_seventeen_decades():
    rng = np.random.default_rng(0)
    for trial in range(12):
        x, y = rng.normal(size=(3, 3)), rng.normal(size=(2 + trial % 2, 3))
        x[:, 2], y[:, 2] = np.abs(x[:, 2]), np.abs(y[:, 2])
        x[0, 1] *= [1.0, 1e8, 1e16][trial % 3]
        if trial % 4 == 0:  # on a line: sorted
            x[:, [0, 2]] = y[:, [0, 2]] = 1.0
        a, b = (10.0 ** rng.uniform(-17, 0, len(side)) for side in (x, y))
        a, b = a / a.sum(), b / b.sum()
        expected = least(x, y, a, b, 1 + trial % 2)
        assert holds(measure_of(x, a), measure_of(y, b), 1 + trial % 2, expected)


@pytest.mark.parametrize("integers", [True, False])
def test_many_neurons_and_one_far_away(integers, monkeypatch):
    """It stays where it is: the rest are as far as without it."""
    rng = np.random.default_rng(0)
    n = 120 if integers else 300
    x, y = np.abs(rng.normal(size=(2, n, 4)))
    without = wasserstein(measure_of(x[1:]), measure_of(y[1:])) * np.sqrt(1 - 1 / n)
    x[0] = y[0] = [0.0, 1e16, 0.0, 1.0]
    if integers:
        monkeypatch.setattr(simplex_room, "ROUNDS", 0)
    else:
        monkeypatch.setattr(simplex_room, "WHOLE_PAIRS", 0)
    assert wasserstein(measure_of(x), measure_of(y), method="exact") == pytest.approx(
        without, rel=1e-9
    )


@pytest.mark.parametrize("shift", [1e-3, 1e-9, 1e-12])
def test_near_measures_are_proven(shift, monkeypatch):
    monkeypatch.setattr(simplex_room, "WHOLE_PAIRS", 0)
    x = np.abs(np.random.default_rng(0).normal(size=(200, 3)))
    x = np.round(x * 2**20) / 2**20
    moved = x + np.array([0.0, shift, 0.0])
    expected = np.sqrt(((moved - x) ** 2).sum(axis=1).mean())
    found = wasserstein(measure_of(x), measure_of(moved))
    assert found.method == "exact" and found == pytest.approx(expected, rel=1e-9)


def test_a_smoothed_distance_of_zero_and_one_beyond_doubles():
    same = measure_of(np.ones((4, 3)))
    assert wasserstein(same, same, method="entropic") == 0.0
    x = np.array([[0.0, 0.0, 1.0], [0.0, 1e16, 1.0]])
    found = wasserstein(measure_of(x), measure_of(x + np.array([1e-9, 0, 0])), method="entropic")
    assert found.low <= 1e-9 <= found.high
    far = [measure_of(np.array([[s, s, 1.7e308]])) for s in (1.7e308, -1.7e308)]
    with pytest.raises(TransportError, match="largest double"):
        wasserstein(*far)
