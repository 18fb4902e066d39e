"""Intervals for many neurons: they hold the exact value, wherever it is known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

import meanfield as mf
from meanfield.transport import bounds, wasserstein
from meanfield.transport.bounds import dyadic_order
from meanfield.transport.clouds import cells, cloud_of, nodes

N = 100_000  # of one test; the others hold at any size
FEWER = 20_000


def measure_of(points, mass=None):
    """First-layer weights (u, r) as a measure at a = 1, far enough from r = 0."""
    return mf.ParticleMeasure(np.ones(len(points)), points[:, :-1], points[:, -1] + 20.0, mass)


def plane(seed, n=FEWER, dims=2):
    return np.random.default_rng(seed).standard_normal((n, dims))


def exact_moments(points):
    """The same points with mean 0 and covariance I to rounding."""
    points = points - points.mean(axis=0)
    root = np.linalg.cholesky(points.T @ points / len(points))
    return np.linalg.solve(root, points.T).T


@settings(deadline=None, max_examples=60)
@given(
    order=st.sampled_from([1, 2]),
    dims=st.integers(2, 4),
    sizes=st.tuples(st.integers(2, 60), st.integers(2, 60)),
    seed=st.integers(0, 10**6),
    shift=st.floats(0, 2),
    weighted=st.booleans(),
)
def test_bounds_hold_the_exact_distance(order, dims, sizes, seed, shift, weighted):
    """With so few stand-ins that every part of the bounds matters."""
    rng = np.random.default_rng(seed)
    first, second = (
        measure_of(
            rng.standard_normal((n, dims)) * rng.uniform(0.2, 2, dims) + move,
            rng.dirichlet(np.ones(n)) if weighted else None,
        )
        for n, move in zip(sizes, (0.0, shift), strict=True)
    )
    exact = wasserstein(first, second, order, method="exact")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "PAIRS", {1: 12**2, 2: 12**2})
        as_they_are = wasserstein(first, second, order, method="bounds", sampled=False)
        of_laws = wasserstein(first, second, order, method="bounds")
    assert as_they_are.low <= exact <= as_they_are.high
    assert of_laws.low <= as_they_are.low and as_they_are.high <= of_laws.high
    assert as_they_are.error == pytest.approx(0.5 * (as_they_are.high - as_they_are.low))


@pytest.mark.slow
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("size", [0.05, 0.5])
def test_a_translation_of_many(order, size):
    points = plane(1)
    moved = np.random.default_rng(2).permutation(points + np.array([0.6 * size, 0.8 * size]))
    found = wasserstein(measure_of(points), measure_of(moved), order, sampled=False)
    assert found.method == "bounds"
    assert found.low <= size <= found.high
    assert found.high - found.low < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.05, 2.0])
def test_a_scaling_of_many(scale):
    points = exact_moments(plane(3))
    scaled = np.random.default_rng(4).permutation(points) * scale
    exact = {2: math.sqrt(2), 1: np.sqrt((points**2).sum(axis=1)).mean()}
    for order in (1, 2):
        found = wasserstein(measure_of(points), measure_of(scaled), order, sampled=False)
        assert found.low <= abs(scale - 1) * exact[order] <= found.high
        assert found.high - found.low < 1e-6


def test_laws_that_differ_by_a_shear_are_as_far_as_their_moments_say():
    """Covariances that do not commute: no sum along axes is exact, Gelbrich's formula is."""
    points = exact_moments(plane(19, n=4000))
    roots = [np.diag([2.0, 0.5]), np.array([[1.0, 0.9], [0.9, 1.5]])]
    S, T = (root @ root for root in roots)
    middle = sqrtm(roots[0] @ T @ roots[0]).real
    exact = math.sqrt(np.trace(S + T - 2 * middle))
    # the map from one to the other that is a gradient
    inverse = np.linalg.inv(roots[0])
    first = points @ roots[0]
    second = first @ inverse @ middle @ inverse
    found = wasserstein(measure_of(first), measure_of(second), method="bounds", sampled=False)
    assert found.low == pytest.approx(exact, rel=1e-9) and found.high >= exact * (1 - 1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_how_much_draws_widen_the_interval(order):
    """By three standard errors of the cost, from the potentials of y = 2x + v; below by more.

    At order 2 they are |x|² + 2 v·x and, of y − v, |y|²/2 + 2 v·y, up to signs; at order 1, with v
    this long, the coordinate along v.
    """
    n, m, v = 400, 1200, np.array([6.0, 8.0])
    first, second = measure_of(plane(20, n=n)), measure_of(2 * plane(21, n=m) + v)
    as_they_are = wasserstein(first, second, order, method="bounds", sampled=False)
    of_laws = wasserstein(first, second, order, method="bounds")
    one, two = {1: (1.0, 4.0), 2: (404.0, 1616.0)}[order]
    expected = 3 * math.sqrt(one / n + two / m)
    above = of_laws.high**order - as_they_are.high**order
    below = as_they_are.low**order - of_laws.low**order
    assert above == pytest.approx(expected, rel=0.1)
    assert below > above + 1e-3  # what the halves of one sample show


def test_where_moments_say_nothing_an_axis_does():
    """Signs against a Gaussian coordinate of the same variance, in five coordinates."""
    first, second = exact_moments(plane(22, n=4000, dims=5)), plane(23, n=4000, dims=5)
    second[:, 0] = np.sign(second[:, 0])
    second = exact_moments(second)
    found = wasserstein(measure_of(first), measure_of(second), method="bounds", sampled=False)
    assert found.low**2 > 0.9 * (2 - 2 * math.sqrt(2 / math.pi))


@pytest.mark.slow
def test_gaussian_laws():
    """Independent draws: the interval holds the distance of the laws (Gelbrich's formula)."""
    root = np.array([[1.0, 0.3], [0.3, 0.5]])
    apart = 0.5**2 + 2 + np.trace(root @ root) - 2 * np.trace(root)
    exact = math.sqrt(apart)
    for seed, n in enumerate((N, FEWER)):
        first, second = plane(2 * seed, n), plane(2 * seed + 1, n) @ root + np.array([0.5, 0.0])
        found = wasserstein(measure_of(first), measure_of(second))
        assert found.low <= exact <= found.high
        assert found.high - found.low < 0.04 * math.sqrt(N / n) * exact
    same = wasserstein(measure_of(plane(11)), measure_of(plane(12)))
    assert same.low == 0.0 and same.high < 0.2


@pytest.mark.parametrize("order", [1, 2])
def test_neurons_that_started_together_are_paired(order):
    points = plane(5)
    nudged = points + 1e-4 * plane(6)
    found = wasserstein(measure_of(points), measure_of(nudged), order, sampled=False)
    assert found.high < 2e-4


@pytest.mark.parametrize("order", [1, 2])
def test_a_small_measure_against_a_large_one(order):
    few, many = plane(7, n=30), plane(8, n=4000)
    found = wasserstein(measure_of(few), measure_of(many), order, method="bounds", sampled=False)
    exact = wasserstein(measure_of(few), measure_of(many), order, method="exact")
    assert found.low <= exact <= found.high
    assert found.high - found.low < 0.02 * exact


@pytest.mark.slow
@pytest.mark.parametrize("order", [1, 2])
def test_in_five_coordinates_neighbouring_pairs_are_paired_anew(order):
    first = plane(15, n=20_000, dims=5)
    second = plane(16, n=20_000, dims=5) * [0.7, 0.8, 0.9, 1.0, 1.0] + 0.3
    found = wasserstein(measure_of(first), measure_of(second), order, sampled=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "SWEEPS", 0)
        before = wasserstein(measure_of(first), measure_of(second), order, sampled=False)
    assert found.low == pytest.approx(before.low, rel=1e-9)
    assert found.high - found.low < 0.65 * (before.high - before.low)
    law = math.sqrt(5 * 0.3**2 + 0.3**2 + 0.2**2 + 0.1**2)
    assert order == 1 or found.low <= law <= found.high


def test_pairing_blocks_anew_is_exact_in_each(monkeypatch):
    monkeypatch.setattr(bounds, "BLOCK", 200)
    x, y = plane(17, n=150, dims=3), plane(18, n=150, dims=3)
    exact = wasserstein(measure_of(x), measure_of(y), method="exact") ** 2
    assert bounds.coupling_cost(x, y, 2, enough=0.0) == pytest.approx(exact, rel=1e-9)
    assert bounds.coupling_cost(x, y, 2, enough=math.inf) > exact


def test_halves_pair_what_is_one_cloud():
    points = plane(13, n=1237, dims=3)
    stretched = np.random.default_rng(14).permutation(points * [1.0, 2.0, 0.5] + 3.0)
    one, two = dyadic_order(points), dyadic_order(stretched)
    assert sorted(one) == sorted(two) == list(range(1237))
    np.testing.assert_allclose(points[one] * [1.0, 2.0, 0.5] + 3.0, stretched[two])


@pytest.mark.parametrize("stand_ins", [cells, nodes])
def test_stand_ins_keep_mass_and_mean(stand_ins):
    cloud = cloud_of(measure_of(plane(9, n=5000, dims=3)))
    cloud = cloud.moved_to(cloud.points[:, 1:])
    found = stand_ins(cloud, 200)
    assert len(found.masses) <= 200
    assert found.masses.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(found.masses @ found.points, cloud.masses @ cloud.points, rtol=1e-12)
    second = cloud.masses @ (cloud.points**2).sum(axis=1)
    mine = found.masses @ (found.points**2).sum(axis=1)
    assert abs(mine - second) == pytest.approx(found.added, rel=1e-6)
    assert (mine < second) == (stand_ins is cells)


def test_more_stand_ins_are_closer():
    cloud = cloud_of(measure_of(plane(10, n=20_000)))
    cloud = cloud.moved_to(cloud.points[:, 1:])
    for stand_ins in (cells, nodes):
        added = [stand_ins(cloud, count).added for count in (100, 400, 1600)]
        slopes = np.diff(np.log(added)) / np.log(4)
        np.testing.assert_allclose(slopes, -1.0, atol=0.25)
