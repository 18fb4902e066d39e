"""Wasserstein distances against assignments, closed forms and the axioms of a metric."""

import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance

import meanfield as mf
from meanfield.transport import Distance, TransportError, sliced_wasserstein, wasserstein
from meanfield.transport import distance as distance_room
from meanfield.transport import simplex as simplex_room
from meanfield.transport import solvers as solvers_room


def random_measure(n, k, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    a, u, r = rng.normal(size=n), rng.normal(size=(n, k)) + shift, rng.exponential(size=n)
    return mf.ParticleMeasure(a, u, r)


def on_a_line(u, a=1.0, r=0.5):
    u = np.asarray(u, dtype=float)
    return mf.ParticleMeasure(np.full(u.size, a), u, np.full(u.size, r))


def best_assignment(measure_1, measure_2, order):
    """Every neuron sent to one neuron, the cheapest way: the optimum for equal masses."""
    cost = cdist(measure_1.points(), measure_2.points()) ** order
    rows, columns = linear_sum_assignment(cost)
    return cost[rows, columns].mean() ** (1 / order)


measures = st.builds(random_measure, n=st.integers(1, 7), k=st.just(2), seed=st.integers(0, 10**6))
orders = st.sampled_from([1, 2])


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_equals_the_best_assignment(k, order):
    first, second = random_measure(60, k, seed=1), random_measure(60, k, seed=2, shift=0.3)
    distance = wasserstein(first, second, order)
    assert distance.method == "exact"
    assert distance.error == 0.0
    assert distance == pytest.approx(best_assignment(first, second, order), rel=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_unequal_numbers_equal_the_assignment_of_copies(order):
    first, second = random_measure(12, 2, seed=3), random_measure(8, 2, seed=4)
    copies_1 = mf.ParticleMeasure(
        np.repeat(first.a, 2), np.repeat(first.u, 2, axis=0), np.repeat(first.r, 2)
    )
    copies_2 = mf.ParticleMeasure(
        np.repeat(second.a, 3), np.repeat(second.u, 3, axis=0), np.repeat(second.r, 3)
    )
    expected = best_assignment(copies_1, copies_2, order)
    assert wasserstein(first, second, order) == pytest.approx(expected, rel=1e-12)
    assert wasserstein(copies_1, copies_2, order) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_neurons_that_coincide_carry_their_masses(order):
    first, second = random_measure(20, 2, seed=17), random_measure(20, 2, seed=18)
    again = np.minimum(np.arange(20), 11)  # nine neurons on top of the eleventh
    piled = mf.ParticleMeasure(first.a[again], first.u[again], first.r[again])
    expected = best_assignment(piled, second, order)
    assert wasserstein(piled, second, order) == pytest.approx(expected, rel=1e-12)
    one_row = mf.ParticleMeasure(np.ones(20), first.u[again] * [1.0, 0.0], np.ones(20))
    other_row = mf.ParticleMeasure(np.ones(20), second.u * [1.0, 0.0], np.ones(20))
    expected = best_assignment(one_row, other_row, order)
    assert wasserstein(one_row, other_row, order) == pytest.approx(expected, rel=1e-12)


@settings(deadline=None, max_examples=40)
@given(measure=measures, order=orders, v=st.lists(st.floats(-5, 5), min_size=3, max_size=3))
def test_a_translation_moves_by_its_length(measure, order, v):
    moved = mf.ParticleMeasure(measure.a + v[0], measure.u + v[1:], measure.r)
    assert wasserstein(measure, moved, order) == pytest.approx(math.hypot(*v), abs=1e-7)


@settings(deadline=None, max_examples=40)
@given(measure=measures, order=orders, scale=st.floats(0, 3))
def test_a_scaling_costs_the_moment_of_the_measure(measure, order, scale):
    # x -> s x is the gradient of a convex function for s >= 0, hence optimal at order 2; at order
    # 1 it is at most the cost of that map
    scaled = mf.ParticleMeasure(scale * measure.a, scale * measure.u, scale * measure.r)
    lengths = np.sqrt((measure.points() ** 2).sum(axis=1))
    bound = abs(1 - scale) * (lengths**order).mean() ** (1 / order)
    distance = wasserstein(measure, scaled, order)
    if order == 2:
        assert distance == pytest.approx(bound, abs=1e-7)
    else:
        assert distance <= bound * (1 + 1e-12) + 1e-12


@settings(deadline=None, max_examples=40)
@given(first=measures, second=measures, third=measures, order=orders)
def test_is_a_metric(first, second, third, order):
    there = wasserstein(first, second, order)
    assert there >= 0
    assert there == pytest.approx(wasserstein(second, first, order), rel=1e-9, abs=1e-12)
    assert wasserstein(first, first, order) == pytest.approx(0, abs=1e-12)
    via = wasserstein(first, third, order) + wasserstein(third, second, order)
    assert there <= via * (1 + 1e-9) + 1e-12
    assert wasserstein(first, second, 1) <= wasserstein(first, second, 2) * (1 + 1e-9) + 1e-12


def test_order_of_neurons_does_not_matter():
    first, second = random_measure(40, 1, seed=5), random_measure(40, 1, seed=6)
    shuffle = np.random.default_rng(0).permutation(40)
    shuffled = mf.ParticleMeasure(first.a[shuffle], first.u[shuffle], first.r[shuffle])
    assert wasserstein(first, shuffled) == pytest.approx(0.0, abs=1e-12)
    assert wasserstein(shuffled, second) == wasserstein(first, second)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("copies", [1, 10_000])
def test_point_mass_is_a_closed_form_at_any_size(copies, order):
    cloud = random_measure(20_000, 2, seed=7)
    atom = mf.ParticleMeasure(np.ones(copies), np.full((copies, 2), 0.25), np.ones(copies))
    lengths = np.sqrt(((cloud.points() - [1.0, 0.25, 0.25, 1.0]) ** 2).sum(axis=1))
    for distance in (wasserstein(cloud, atom, order), wasserstein(atom, cloud, order)):
        assert distance.method == "single atom"
        assert distance == pytest.approx((lengths**order).mean() ** (1 / order), rel=1e-12)


def test_two_point_masses_are_as_far_as_their_atoms():
    first = mf.ParticleMeasure([1.0, 1.0], [0.0, 0.0], [1.0, 1.0])
    second = mf.ParticleMeasure([1.0], [3.0], [5.0])
    assert wasserstein(first, second) == pytest.approx(5.0)
    assert wasserstein(first, first) == 0.0


@pytest.mark.parametrize(("n", "m"), [(500, 500), (500, 317), (3, 500)])
def test_a_line_is_sorted(n, m):
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=n), np.round(rng.normal(0.4, 2.0, size=m), 1)
    distance = wasserstein(on_a_line(x), on_a_line(y), order=1)
    assert distance.method == "sorted"
    assert distance == pytest.approx(wasserstein_distance(x, y), rel=1e-12)
    x_copies, y_copies = np.sort(np.repeat(x, m)), np.sort(np.repeat(y, n))
    expected = math.sqrt(((x_copies - y_copies) ** 2).mean())
    assert wasserstein(on_a_line(x), on_a_line(y)) == pytest.approx(expected, rel=1e-12)


def test_two_parallel_lines_are_not_one_line():
    x = np.array([0.0, 1.0, 2.0])
    distance = wasserstein(on_a_line(x, r=0.0), on_a_line(x, r=2.0))
    assert distance.method == "exact"
    assert distance == pytest.approx(2.0)


def test_many_distinct_neurons_are_enclosed_and_say_so(monkeypatch):
    monkeypatch.setattr(distance_room, "EXACT_PAIRS", 50 * 50)
    first, second = random_measure(51, 2, seed=9), random_measure(51, 2, seed=10, shift=1.0)
    auto = wasserstein(first, second)
    assert auto.method == "bounds"
    exact = wasserstein(first, second, method="exact")
    assert exact.method == "exact" and exact.low == exact == exact.high
    assert auto.low <= exact <= auto.high
    fewer = random_measure(49, 2, seed=9)
    assert wasserstein(first, fewer).method == "exact"
    sliced = wasserstein(first, second, method="sliced")
    assert sliced.method == "sliced" and sliced == sliced_wasserstein(first, second)
    assert sliced.low <= exact <= sliced.high == math.inf


@pytest.mark.parametrize("order", [1, 2])
def test_sliced_line_against_the_exact_distance_on_it(order):
    # θ·x = θ_u x + constant: every projection is the exact distance times |θ_u|, so that the ratio
    # is (E |θ_u|^order)^(1/order) over the sphere of R^3: 1/2 at order 1, 1/√3 at order 2
    rng = np.random.default_rng(11)
    first, second = on_a_line(rng.normal(size=300)), on_a_line(rng.exponential(size=200))
    sliced = sliced_wasserstein(first, second, order, projections=2000)
    expected = wasserstein(first, second, order) * {1: 0.5, 2: 1 / math.sqrt(3)}[order]
    assert sliced.method == "sliced"
    assert 0 < sliced.error < 0.03 * expected
    assert abs(sliced - expected) < 4 * sliced.error


def test_sliced_translation_is_its_length_over_the_root_of_the_dimension():
    first = random_measure(500, 3, seed=12)
    v = np.array([0.5, -1.0, 2.0, 0.25])
    second = mf.ParticleMeasure(first.a + v[0], first.u + v[1:], first.r)
    sliced = sliced_wasserstein(first, second, projections=2000)
    assert abs(sliced - np.linalg.norm(v) / math.sqrt(5)) < 4 * sliced.error
    assert sliced.error < 0.02 * sliced


@settings(deadline=None, max_examples=25)
@given(first=measures, second=measures, order=orders, seed=st.integers(0, 100))
def test_sliced_never_exceeds_the_distance(first, second, order, seed):
    sliced = sliced_wasserstein(first, second, order, projections=5, seed=seed)
    assert sliced <= wasserstein(first, second, order) * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("order", [1, 2])
def test_entropic_is_above_the_distance_by_at_most_its_error(order):
    first, second = random_measure(40, 2, seed=23), random_measure(30, 2, seed=24, shift=0.5)
    heavy = mf.ParticleMeasure(*first.arrays(), mass=np.arange(1, 41) / 820)
    for one in (first, heavy):
        exact = wasserstein(one, second, order)
        found = [
            wasserstein(one, second, order, method="entropic", regularisation=share)
            for share in (0.3, 0.1, 0.05)
        ]
        for value in found:
            assert value.method == "entropic"
            assert value.low <= exact <= value == value.high
            assert value.error > 0
        assert found[0].error > found[1].error > found[2].error
        assert found[2].error < 0.15 * exact
    same = wasserstein(first, first, order, method="entropic")
    assert same.low == pytest.approx(0.0, abs=1e-6) and same > 1e-3


def test_a_plan_off_its_marginals_is_mended():
    """The cheapest plan of all, each to its nearest, becomes a coupling, and costs no less."""
    first, second = random_measure(12, 2, seed=27), random_measure(12, 2, seed=28)
    cost = cdist(first.points(), second.points())
    greedy = np.zeros_like(cost)
    greedy[np.arange(12), cost.argmin(axis=1)] = 1 / 12
    a = np.full(12, 1 / 12)
    exact = best_assignment(first, second, 1)
    assert (
        (greedy * cost).sum() < exact <= solvers_room._cost_on_marginals(greedy + 1e-12, cost, a, a)
    )
    rows, columns = linear_sum_assignment(cost)
    best = np.zeros_like(cost)
    best[rows, columns] = 1 / 12
    assert solvers_room._cost_on_marginals(best, cost, a, a) == pytest.approx(exact, rel=1e-12)


def test_the_entropic_bound_knows_the_masses():
    """The measure with unequal masses may stand on either side."""
    second, masses = random_measure(30, 2, seed=24, shift=0.5), np.geomspace(1, 1e4, 40)
    heavy = mf.ParticleMeasure(*random_measure(40, 2, seed=23).arrays(), mass=masses / masses.sum())
    there, back = (
        wasserstein(*pair, method="entropic") for pair in ((heavy, second), (second, heavy))
    )
    assert there == pytest.approx(back, rel=1e-4)
    assert max(there.error, back.error) < 1.3 * min(there.error, back.error)


def test_the_entropic_bias_is_at_most_the_entropy_s():
    """E c under the plan ≤ least + ε log n, at order 1 (c is the distance itself)."""
    first, second = random_measure(50, 2, seed=25), random_measure(50, 2, seed=26)
    mean = cdist(first.points(), second.points()).mean()
    exact = wasserstein(first, second, 1)
    for share in (0.2, 0.05):
        found = wasserstein(first, second, 1, method="entropic", regularisation=share)
        assert found - exact <= share * mean * math.log(50)
        assert found - exact > 0.02 * share * mean


def test_the_entropic_interval_holds_however_early_it_stops(monkeypatch):
    """A plan far from its marginals would cost less than the distance, were it not mended."""
    monkeypatch.setattr(solvers_room, "TOLERANCE", 1.0)
    first, second = random_measure(40, 2, seed=23), random_measure(40, 2, seed=24, shift=2.0)
    found = wasserstein(first, second, method="entropic", regularisation=0.002)
    assert found.low <= wasserstein(first, second) <= found


def test_an_entropic_plan_that_has_not_converged_raises(monkeypatch):
    first, second = random_measure(40, 2, seed=23), random_measure(30, 2, seed=24)
    for iterations in (3, 25):
        monkeypatch.setattr(solvers_room, "ITERATIONS", iterations)
        with pytest.raises(TransportError, match="had not converged after"):
            wasserstein(first, second, method="entropic", regularisation=0.01)
    monkeypatch.setattr(distance_room, "ENTROPIC_PAIRS", 1199)
    with pytest.raises(ValueError, match="40 x 30"):
        wasserstein(first, second, method="entropic")


def test_seed_fixes_the_directions():
    first, second = random_measure(30, 1, seed=13), random_measure(30, 1, seed=14)
    again = [sliced_wasserstein(first, second, seed=s) for s in (3, 3, 4)]
    assert again[0] == again[1] != again[2]
    assert sliced_wasserstein(first, first) == 0.0
    assert sliced_wasserstein(first, first).error == 0.0


def test_unconverged_transport_is_refused_or_enclosed(monkeypatch):
    monkeypatch.setattr(simplex_room, "MAX_PIVOTS", 20)
    first, second = random_measure(60, 2, seed=15), random_measure(60, 2, seed=16)
    expected = best_assignment(first, second, 2)
    assert wasserstein(first, second) == pytest.approx(expected, rel=1e-12)  # in integers
    monkeypatch.setattr(simplex_room, "WHOLE_PAIRS", 0)
    with pytest.raises(TransportError, match="no optimal transport plan"):
        wasserstein(first, second, method="exact")
    found = wasserstein(first, second, sampled=False)
    assert found.method == "bounds" and found.low <= expected <= found.high
    assert issubclass(TransportError, RuntimeError)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("k", [1, 2])
def test_masses_are_those_of_copies(k, order):
    """Masses in ninths against neurons repeated that often; on a line too."""
    times = np.array([3, 1, 1, 4])
    copies, other = random_measure(4, k, seed=21), random_measure(5, k, seed=22)
    weighted = mf.ParticleMeasure(copies.a, copies.u, copies.r, mass=times / 9)
    repeated = mf.ParticleMeasure(*(np.repeat(x, times, axis=0) for x in copies.arrays()))
    expected = wasserstein(repeated, other, order)
    assert wasserstein(weighted, other, order) == pytest.approx(expected, rel=1e-9)
    assert wasserstein(weighted, repeated, order) == pytest.approx(0.0, abs=1e-7)
    line, points = on_a_line(copies.a), on_a_line(other.a)
    heavy = mf.ParticleMeasure(line.a, line.u, line.r, mass=times / 9)
    same = on_a_line(np.repeat(copies.a, times))
    assert wasserstein(heavy, points, order).method == "sorted"
    assert wasserstein(heavy, points, order) == pytest.approx(
        wasserstein(same, points, order), rel=1e-9
    )
    assert wasserstein(heavy, same, order) == pytest.approx(0.0, abs=1e-7)  # 1/9 is no double
    sliced = sliced_wasserstein(weighted, other, order)
    assert sliced == pytest.approx(sliced_wasserstein(repeated, other, order), rel=1e-9)


def test_point_mass_with_masses():
    measure = mf.ParticleMeasure([0.0, 0.0], [0.0, 3.0], [1.0, 1.0], mass=[0.75, 0.25])
    atom = mf.ParticleMeasure([0.0], [0.0], [1.0])
    assert wasserstein(measure, atom, 1) == pytest.approx(0.75)
    assert wasserstein(measure, atom, 2) == pytest.approx(1.5)


def test_distance_is_a_float_that_survives_copies():
    distance = Distance(0.25, "sliced", 2, 0.01)
    assert isinstance(distance, float)
    assert distance + 1 == 1.25
    assert (distance.low, distance.high) == (0.23, math.inf)
    assert f"{distance:.3f}" == "0.250"
    assert str(distance) == "0.25"
    assert repr(distance) == "Distance(0.25, method='sliced', order=2, error=0.01)"
    for twin in (pickle.loads(pickle.dumps(distance)), copy.deepcopy(distance)):
        assert (twin, twin.method, twin.order, twin.error) == (0.25, "sliced", 2, 0.01)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"measure_1": np.zeros(3)}, TypeError, "measure_1 must be a ParticleMeasure"),
        ({"measure_2": None}, TypeError, "measure_2 must be a ParticleMeasure"),
        ({"measure_2": random_measure(3, 2, 0)}, ValueError, "measure_2 must have the k"),
        ({"order": 3}, ValueError, "order must be 1 or 2, got 3"),
        ({"order": 0}, ValueError, "order must be an integer"),
        ({"order": 1.5}, TypeError, "order must be an integer"),
        ({"method": "fast"}, ValueError, "method must be one of 'auto', 'exact', 'bounds'"),
        ({"method": "sliced", "projections": 1}, ValueError, "projections must be"),
        ({"method": "sliced", "seed": -1}, ValueError, "seed must be"),
        ({"method": "entropic", "regularisation": 0.0}, ValueError, "regularisation must be"),
    ],
)
def test_bad_input_names_the_argument(change, error, match):
    arguments = {"measure_1": random_measure(3, 1, 0), "measure_2": random_measure(3, 1, 1)}
    with pytest.raises(error, match=match):
        wasserstein(**(arguments | change))
