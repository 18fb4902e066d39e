"""What a field states of itself, against numbers that share nothing with it."""

import math

import numpy as np
import pytest

import meanfield as mf
from meanfield.fields.base import sample_neurons
from meanfield.fields.estimate import Velocities, relative_error
from meanfield.fields.pairs.closed import PairField
from meanfield.fields.pairs.series import SeriesField
from meanfield.fields.polynomial import PolynomialField
from meanfield.fields.quadrature import inputs
from meanfield.fields.quadrature.average_tables import MOST_POINTS, smooth_table
from meanfield.fields.quadrature.field import DirectField
from meanfield.fields.slices.deviation import Deviation
from meanfield.fields.slices.field import SliceField
from tests.fields.cases import make_measure, make_problem, velocity
from tests.reference import mean_field as twin


def prepared(kind, problem, measure):
    field = kind(problem)
    field.prepare(measure)
    return field


def true_error(field, measure, du, dr):
    """Largest miss over the root mean square of the true velocities, of u and r apart."""
    _, found_u, found_r = velocity(field, measure)
    rms = [np.sqrt((part**2).reshape(len(part), -1).sum(axis=1).mean()) for part in (du, dr)]
    floor = 1e-3 * max(rms)
    return max(
        np.sqrt(((found_u - du) ** 2).sum(axis=1)).max() / max(rms[0], floor),
        np.abs(found_r - dr).max() / max(rms[1], floor),
    )


def test_a_velocity_that_is_all_error_is_no_size():
    """What a coarse rule makes of a velocity that vanishes does not count as its size."""
    rng = np.random.default_rng(0)
    noise = Velocities(np.zeros(50), 1e-3 * rng.standard_normal((50, 2)), np.zeros(50))
    a = np.ones(50)
    assert relative_error(noise, noise, a, None, 1.0, 0.0) > 100.0
    real = Velocities(noise.a, noise.u + 1.0, noise.r + 1.0)
    assert relative_error(noise, real, a, None, 1.0, 0.0) < 4e-3


def test_nodes_near_a_symmetric_start(monkeypatch):
    """A product of four pushes neurons near the origin by r³ of what its nodes scatter."""
    target = mf.MultiIndexTarget(lambda z: np.prod(z, axis=1), k=4)
    monkeypatch.setattr(inputs, "MOST_NODES", 2**12)
    measure = make_measure(4, n=20, scale=0.03)
    known = mf.Problem(mf.targets.parity(4), "gelu", math.inf)
    problem = mf.Problem(target, "gelu", math.inf)
    quiet = mf.ParticleMeasure(1e-9 * measure.a, measure.u, measure.r)  # f itself is nothing
    field = prepared(DirectField, problem, quiet)
    _, du, dr = velocity(prepared(SeriesField, known, quiet), quiet)
    true = true_error(field, quiet, du, dr)
    assert true > 1.0  # it was said to be 1e-2
    assert field.error_estimate(quiet) > true / 1.5


@pytest.mark.parametrize("sigma", ["hermite3", "square"])
def test_coefficients_are_held_to_what_they_move(sigma):
    """A constant of 1e4 in a target with a kink across the axes: E z sign(b·z) is √(2/π) b/|b|."""
    b = np.array([1.0, 0.37])
    target = mf.MultiIndexTarget(lambda z: 1e4 + np.abs(z @ b) + np.sign(z @ b), k=2)
    problem = mf.Problem(target, sigma, math.inf)
    measure = make_measure(2, n=30, scale=0.5)
    field = prepared(PolynomialField, problem, measure)
    exact = prepared(PolynomialField, problem, measure)
    # along e: E f* he_m(e·z) = h_m, and (b/|b|)^α √(m!/α!) in coordinates
    e, length = b / np.linalg.norm(b), np.linalg.norm(b)
    h = _hermite_of_kink(length)
    for i, (i1, i2, l) in enumerate(exact.index):
        if l == 0:
            m = i1 + i2
            ways = math.comb(m, i1)
            exact.goal[i] = math.sqrt(ways) * e[0] ** i1 * e[1] ** i2 * h[m]
    exact.goal[exact.index.index((0, 0, 0))] += 1e4
    _, du, dr = velocity(exact, measure)
    true = true_error(field, measure, du, dr)
    assert true > 1e-6 or sigma == "square"
    assert field.error_estimate(measure) > true / 1.5


def _hermite_of_kink(length):
    """E (length |x| + sign x) he_m(x), m ≤ 3."""
    root = math.sqrt(2.0 / math.pi)
    return [
        length * root,
        root,
        length * root / math.sqrt(2.0),
        -root / math.sqrt(6.0),
    ]


def test_the_neuron_that_outweighs_all_is_looked_at():
    rng = np.random.default_rng(0)
    u, r, a = rng.standard_normal((1000, 1)), np.ones(1000), np.ones(1000)
    a[437] = -1e5
    assert 437 not in sample_neurons(u, r)
    assert 437 in sample_neurons(u, r, a)
    mass = np.full(1000, 1e-3)
    mass[611] = 0.5
    assert 611 in sample_neurons(u, r, a, mass)


@pytest.mark.parametrize("D", [2, 3, math.inf])
def test_pairs_of_relus_state_the_rule_over_their_overlap(D):
    problem, measure = make_problem("relu", "erf", k=1, D=D), make_measure(1, n=60)
    field = prepared(PairField, problem, measure)
    expected = twin.flow(problem, measure.a, measure.u, measure.r)
    true = true_error(field, measure, expected.du, expected.dr)
    stated = field.error_estimate(measure)
    assert true < 1.5 * stated < 1e-7 and (stated > 1e-11 or math.isinf(D))


def test_late_in_a_run_an_error_is_relative_to_what_is_left():
    """A start that is nearly the target itself: rounding is 1e-5 of velocities of 1e-11."""
    problem = make_problem("erf", "erf", k=1, D=math.inf, gram=[[1.0]], weights=[1.0])
    errors = []
    for away in (1e-3, 1e-10):
        measure = mf.ParticleMeasure([1.0, 1.0], [[1.0 + away], [1.0 - 0.5 * away]], [0.0, 0.0])
        errors.append(prepared(PairField, problem, measure).error_estimate(measure))
    assert errors[0] < 1e-10 and 1e-9 < errors[1] < 1e-2


def test_a_table_that_misses_a_kink_says_so(monkeypatch):
    """Two tables of different steps miss the kink alike where 0 < r is below their spacing."""
    ramp = mf.activations.custom(
        lambda x: np.maximum(x - 0.5, 0.0), lambda x: (x > 0.5) * 1.0, kinks=[0.5]
    )
    problem = mf.Problem(mf.MultiIndexTarget(lambda z: np.sin(z[:, 0]), k=1), ramp, math.inf)
    measure = mf.ParticleMeasure([1.0, -0.5], [[1.3], [0.7]], [0.01, 0.004])
    field = DirectField(problem)
    rule = inputs.graded_rule(math.inf, 10, 1)
    field._set_rule_and_table(rule, measure.u, measure.r)
    v, s = measure.u * rule.z, measure.r[:, None]
    g0 = ramp.average(v, s, math.inf)
    g1, g2 = ramp.average_slopes(v, s, math.inf)
    epsilon = rule.weight * (np.sin(rule.z[0]) - 0.5 * measure.a @ g0)
    du = (measure.a * (g1 @ (epsilon * rule.z[0])))[:, None]
    true = true_error(field, measure, du, measure.a * (g2 @ epsilon))
    monkeypatch.setattr(field, "_change", lambda measure, others: 0.0)
    assert true > 1e-4 and field.error_estimate(measure) > true / 1.5


def test_a_trial_step_that_blows_up_is_not_a_number():
    """No table is made for neurons a thousand times as far as those of the step before."""
    target = mf.MultiIndexTarget(lambda z: np.tanh(z.sum(axis=1)), k=2)
    measure = make_measure(2, n=5, scale=0.5)
    far = mf.ParticleMeasure(measure.a, 1e3 * measure.u, measure.r)
    for kind, goal in ((DirectField, target), (SeriesField, mf.targets.parity(2))):
        field = kind(mf.Problem(goal, "tanh", math.inf), tolerance=1e-3)
        field.prepare(measure)
        before = field.layout_state()
        found = Velocities.like(*far.arrays())
        field.velocity(*far.arrays(), *found)
        assert np.isnan(found.u).all()
        assert field.layout_state() == before


def test_tables_are_bounded():
    tanh = mf.activations.get_activation("tanh")
    with pytest.raises(FloatingPointError):
        smooth_table(tanh, math.inf, 0.04 * MOST_POINTS, 1.0)


def test_an_error_just_found_is_not_looked_for_again(monkeypatch):
    """A run asks for that of its start, which laying out ends with; another layout is looked at."""
    problem, asked = make_problem("tanh", "tanh", D=math.inf), []
    measure = mf.gaussian_measure(problem, 50, 0.5, seed=1)
    largest = Deviation.largest
    monkeypatch.setattr(
        Deviation, "largest", lambda self, *args: asked.append(1) or largest(self, *args)
    )
    field = prepared(SliceField, problem, measure)
    found, before = field.error_estimate(measure), len(asked)
    assert field.error_estimate(measure) == found
    assert len(asked) == before
    twice = mf.ParticleMeasure(measure.a, 2.0 * measure.u, measure.r)
    field.error_estimate(twice)
    assert len(asked) == before + 1
    assert field.grow(*twice.arrays())
    field.error_estimate(twice)
    assert len(asked) == before + 2
