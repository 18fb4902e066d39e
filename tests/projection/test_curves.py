"""Concentration in time: observables, and the time a level is reached."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq

import meanfield as mf
from meanfield import projection
from meanfield.projection import curves, time_within
from meanfield.projection.reach import first_below
from tests.fields.cases import make_measure, make_problem


@pytest.fixture(scope="module")
def run():
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=50)
    start = mf.gaussian_measure(problem, 200, sampling="antithetic-sobol")
    return mf.solve_mean_field(problem, start, 40.0, save_at=81)


def test_observables_are_the_curves(run):
    observe = projection.observables(run.problem, angles=(0.5, 1.0), fractions=(0.5, 0.9))
    curves = projection.along(run, angles=(0.5, 1.0), fractions=(0.5, 0.9))
    for i in (1, 40, 80):  # at the start f is 0 up to rounding, and its leak means nothing
        for name in ("energy", "leak", "perpendicular", "mass_within", "principal_angles"):
            found = observe[name](run.t[i], run.states[i])
            np.testing.assert_allclose(getattr(curves, name)[i], found, rtol=1e-6)
        np.testing.assert_array_equal(
            curves.angle_of[i],
            [observe[f"angle_of_{f}"](run.t[i], run.states[i]) for f in (0.5, 0.9)],
        )


def test_curves_say_at_what_angles_they_are(run):
    curves = projection.along(run, angles=(0.5, 1.0), fractions=(0.5,))
    np.testing.assert_array_equal(curves.angles, [0.5, 1.0])
    np.testing.assert_array_equal(curves.fractions, [0.5])


def test_overlaps_outside_are_among_the_other_directions():
    """A law with r = 1 has a root mean square of 1/√D in D = d − k directions."""
    problem = make_problem("erf", k=2, D=3)
    law = mf.ParticleMeasure(np.ones(4), np.ones((4, 2)), np.ones(4))
    observe = projection.observables(problem)
    assert observe["perpendicular"](0.0, law) == pytest.approx(1 / math.sqrt(3))
    # two directions are asked for, of one neuron
    assert np.isnan(observe["principal_angles"](0.0, mf.gaussian_overlaps(problem, 1))).all()


def test_the_time_is_when_the_mass_is_there(run):
    """A run that stops at the time found has the fraction within the angle, to the error."""
    angle, fraction = math.pi / 4, 0.9
    reached = time_within(run, angle, fraction)
    assert reached.between[0] <= reached.time <= reached.between[1]
    assert 0 < reached.error < 0.1
    stops = [max(reached.time + shift, 0.0) for shift in (-reached.error, reached.error)]
    fine = mf.solve_mean_field(run.problem, run.states[0], 40.0, save_at=[*stops, 40.0])
    before, after = (
        projection.concentration(fine.states[i], run.problem).angle_of(fraction) for i in (0, 1)
    )
    assert after <= angle <= before


@pytest.mark.parametrize("points", [6, 11, 41, 161])
def test_the_error_of_the_time_holds(points):
    t = np.linspace(0.0, 4.0, points)
    for rate, level in ((1.0, 0.3), (0.7, 0.5), (2.0, 0.11)):
        found = first_below(t, np.exp(-rate * t), level)
        assert abs(found.time - math.log(1 / level) / rate) <= found.error
        assert found.error <= found.between[1] - found.between[0]


def test_more_saved_times_find_it_better():
    errors = []
    for points in (21, 41, 81, 161):
        t = np.linspace(0.0, 4.0, points)
        errors.append(abs(first_below(t, 1 / (1 + t) ** 2, 0.1234).time - 0.1234**-0.5 + 1))
    slope = np.polyfit(np.log([21, 41, 81, 161]), np.log(errors), 1)[0]
    assert slope < -2.5


def test_what_is_never_reached_or_there_at_once(run):
    never = time_within(run, 0.001)
    assert math.isnan(never.time) and never.between == (40.0, math.inf)
    at_once = time_within(run, math.pi / 2)
    assert (at_once.time, at_once.error) == (0.0, 0.0)


def test_a_time_for_every_run_of_sgd():
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=5, learning_rate=0.5)
    sgd = mf.simulate_sgd(problem, mf.gaussian_weights(problem, 3), 10.0, runs=3, save_at=11)
    times = time_within(sgd, 1.2, 0.5)
    assert len(times) == 3
    for found, states in zip(times, sgd.states, strict=True):
        angles = [projection.concentration(state, problem).angle_of(0.5) for state in states]
        expected = first_below(sgd.t, np.array(angles), 1.2)
        assert found.time == expected.time or math.isnan(found.time)
        if found.time > 0.0:  # a path may be anywhere in between
            assert found.error == max(found.time - found.between[0], found.between[1] - found.time)
    assert len({found.time for found in times}) == 3


def test_the_error_is_at_least_what_half_the_times_make_of_it():
    """The straight line and the cubic agree here; every other time does not."""
    t, curve = np.arange(5.0), np.array([1.0, 1.0, 0.9, 0.1, 0.0])
    found = first_below(t, curve, 0.5)
    halved = PchipInterpolator(t[::2], curve[::2])
    coarse = brentq(lambda time: halved(time) - 0.5, 2.0, 4.0)
    assert abs(found.time - 2.5) < 0.1 < abs(coarse - found.time)
    assert found.error == pytest.approx(abs(coarse - found.time), rel=1e-9)
    assert first_below(t[:3], np.array([1.0, 0.5, 0.2]), 0.5).between == (0.0, 1.0)


def test_the_mass_of_neurons_counts():
    """Two neurons of mass 0.9 and 0.1, the heavy one in the subspace."""
    measure = mf.ParticleMeasure([1.0, 1.0], [[1.0], [0.0]], [0.0, 1.0], mass=[0.9, 0.1])
    c = projection.concentration(measure, make_problem(k=1))
    assert c.mass_within(0.1) == pytest.approx(0.9)
    assert c.angle_of(0.9) == 0.0
    assert c.angle_of(0.95) == pytest.approx(math.pi / 2)
    assert c.energy == pytest.approx(0.9)
    assert c.mean_alignment == pytest.approx(0.9)


def test_angle_of_inverts_mass_within():
    c = projection.concentration(make_measure(1, n=37), make_problem(k=1))
    fractions = (np.arange(37) + 1) / 37
    angles = c.angle_of(fractions)
    assert (np.diff(angles) >= 0).all()
    np.testing.assert_allclose(c.mass_within(angles + 1e-9), fractions, atol=1e-12)
    np.testing.assert_array_less(c.mass_within(angles - 1e-9), fractions)


def test_bad_arguments_are_named(run):
    short = mf.solve_mean_field(run.problem, run.states[0], 1.0, save_at=5, keep="ends")
    for call in (projection.along, lambda solution: time_within(solution, 1.0)):
        with pytest.raises(ValueError, match="solution"):
            call(short)
        with pytest.raises(TypeError, match="solution"):
            call(3)
    for angle, fraction, name in ((2.0, 0.9, "angle"), (1.0, 0.0, "fraction"), (1.0, 2.0, "frac")):
        with pytest.raises(ValueError, match=name):
            time_within(run, angle, fraction)
    with pytest.raises(ValueError, match="angle"):
        projection.observables(run.problem, angles=(3.0,))
    with pytest.raises(ValueError, match="fraction"):
        projection.observables(run.problem, fractions=(0.0,))
    with pytest.raises(ValueError, match="at least one fraction"):
        projection.along(run, fractions=())
    assert "energy" in projection.observables(run.problem, fractions=())


def test_a_run_that_keeps_no_state_has_the_same_curves(run):
    options = {"angles": (0.5, 1.0), "fractions": (0.5, 0.9)}
    bare = mf.solve_mean_field(
        run.problem, run.states[0], 40.0, save_at=81, keep="ends",
        observables=projection.observables(run.problem, **options),
    )  # fmt: skip
    expected, found = (projection.along(solution, **options) for solution in (run, bare))
    for name in ("energy", "leak", "perpendicular", "mass_within", "angle_of", "principal_angles"):
        one, two = getattr(found, name)[1:], getattr(expected, name)[1:]  # f is 0 at the start
        np.testing.assert_allclose(one, two, rtol=1e-6)
    apart, whole = (time_within(one, math.pi / 4, 0.9) for one in (bare, run))
    assert abs(apart.time - whole.time) <= apart.error and apart.error > 10 * whole.error


def test_curves_need_no_observable_but_their_own(run, monkeypatch):
    """A ready-made one that a later version adds is not missed in a run of before."""
    observables = projection.observables(run.problem)
    kept = {name: np.array([f(0.0, run.states[5])]) for name, f in observables.items()}
    old = replace(run, t=run.t[5:6], risk=run.risk[5:6], states=run.states[:0], observables=kept)
    expected, ready = projection.along(run).energy[5], curves._observables
    monkeypatch.setattr(curves, "_observables", lambda *args: ready(*args) | {"added": len})
    assert projection.along(old).energy == expected


@pytest.mark.parametrize("saves", [51, 151, 301])
def test_the_time_of_a_share_of_few_neurons(saves):
    """Their angles cross one another: the share's own curve has kinks, and hides them."""
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=20)
    start = mf.gaussian_measure(problem, 300, seed=2)
    coarse = mf.solve_mean_field(problem, start, 10.0, save_at=saves)
    found = time_within(coarse, 0.7, 0.5)
    assert abs(found.time - 6.691548) <= found.error + 5e-6 < 0.01  # saved every 0.005


def test_observables_do_not_remember():
    """A resumed run asks about the same states in another order."""
    problem = make_problem("erf", k=1, D=9)
    states = [make_measure(1, n=300, scale=0.3 * s, seed=s) for s in (1, 3)]
    there, back = projection.observables(problem), projection.observables(problem)
    first = [there["leak"](0.0, state) for state in states]
    second = [back["leak"](0.0, state) for state in reversed(states)]
    assert first == second[::-1]
