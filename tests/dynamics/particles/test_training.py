"""Weight decay and spherical constraint in the mean field."""

import math
from dataclasses import replace

import numpy as np
import pytest

import meanfield as mf
from tests.fields.cases import make_measure, make_problem

pytestmark = pytest.mark.usefixtures("interrupted_results")


@pytest.mark.parametrize("D", [7, math.inf])
def test_decay_alone_is_exponential(D):
    """With a = 0 the risk moves nothing: u and r decay at one rate."""
    problem = replace(make_problem("tanh", D=D, kappa=0.0), weight_decay=0.3)
    draw = make_measure(1, n=10)
    start = mf.ParticleMeasure(np.zeros(10), draw.u, draw.r)
    run = mf.solve_mean_field(problem, start, 2.0, save_at=2, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(run.final.u, math.exp(-0.6) * draw.u, rtol=1e-8)
    np.testing.assert_allclose(run.final.r, math.exp(-0.6) * draw.r, rtol=1e-8)


def test_decay_is_part_of_the_velocity_on_both_layers():
    bare, measure = make_problem("erf", k=2, D=9, kappa=0.5), make_measure(2, n=20)
    decayed = replace(bare, weight_decay=0.2, second_layer_decay=0.7)
    one, other = (mf.mean_field_velocity(problem, measure) for problem in (bare, decayed))
    np.testing.assert_allclose(other.u, one.u - 0.2 * measure.u, atol=1e-14)
    np.testing.assert_allclose(other.r, one.r - 0.2 * measure.r, atol=1e-14)
    np.testing.assert_allclose(other.a, one.a - 0.35 * measure.a, atol=1e-14)


def test_a_regularised_risk_falls_along_a_run():
    """R + (weight decay E|w|²/d + second-layer decay E a²)/2 is what the flow descends."""
    problem = replace(
        make_problem("gelu", k=1, D=20, kappa=1.0), weight_decay=0.05, second_layer_decay=0.1
    )
    run = mf.solve_mean_field(problem, make_measure(1, n=40, scale=0.5), 20.0, save_at=41)
    assert run.success
    lengths = np.array([(state.u**2).sum(axis=1) + state.r**2 for state in run.states]).mean(axis=1)
    squares = np.array([np.mean(state.a**2) for state in run.states])
    assert (np.diff(run.risk + 0.5 * 0.05 * lengths + 0.5 * 0.1 * squares) < 1e-9).all()


@pytest.mark.parametrize(("sigma", "k", "D"), [("tanh", 2, 12), ("relu", 1, math.inf)])
def test_neurons_on_spheres(sigma, k, D):
    """Lengths hold to rounding, the risk still falls, by the squared tangent velocity."""
    problem, measure = make_problem(sigma, k=k, D=D, kappa=1.0), make_measure(k, n=30, scale=0.7)
    run = mf.solve_mean_field(problem, measure, 5.0, save_at=26, spherical=True, rtol=1e-5)
    before = np.sqrt((measure.u**2).sum(axis=1) + measure.r**2)
    for state in run.states:
        after = np.sqrt((state.u**2).sum(axis=1) + state.r**2)
        np.testing.assert_allclose(after, before, rtol=1e-14)
    assert run.states[0] == measure
    assert not np.array_equal(run.final.u, measure.u)
    assert (np.diff(run.risk) < 0).all()
    assert run.parameters["spherical"] is True
    fine = mf.solve_mean_field(problem, measure, 5.0, save_at=2, spherical=True, rtol=1e-9)
    np.testing.assert_allclose(run.final.u, fine.final.u, rtol=0, atol=3e-3)


def test_decay_does_nothing_to_neurons_on_spheres():
    bare, measure = make_problem("erf", k=2, D=9), make_measure(2, n=20)
    decayed = replace(bare, weight_decay=0.5)
    one, other = (
        mf.solve_mean_field(p, measure, 2.0, save_at=2, spherical=True, rtol=1e-9, atol=1e-12)
        for p in (bare, decayed)
    )
    np.testing.assert_allclose(one.final.points(), other.final.points(), rtol=0, atol=1e-7)


def test_neurons_of_length_zero_stay():
    problem = make_problem("tanh", k=1, D=9, kappa=0.0)
    measure = mf.ParticleMeasure([1.0, 1.0], [[0.0], [0.5]], [0.0, 0.5])
    run = mf.solve_mean_field(problem, measure, 1.0, save_at=2, spherical=True)
    assert run.final.u[0, 0] == run.final.r[0] == 0.0


def test_the_tolerance_of_the_field_is_the_users():
    target = mf.MultiIndexTarget(lambda z: np.tanh(z.sum(axis=1)), k=4)
    problem, measure = mf.Problem(target, "tanh", math.inf), make_measure(4, n=20, scale=0.4)
    run = mf.solve_mean_field(problem, measure, 0.5, save_at=2)
    assert run.success and 1e-5 < run.stats["field_error"] <= 1.5e-2
    assert f"velocities good to {run.stats['field_error']:.0e}" in run.message
    strict = mf.solve_mean_field(problem, measure, 0.1, save_at=2, field_tolerance=1e-7)
    assert strict.status is mf.Status.INACCURATE and "1e-07" in strict.message
    for value in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="field_tolerance"):
            mf.solve_mean_field(problem, measure, 1.0, field_tolerance=value)


def test_a_checkpoint_brings_back_nodes_and_tables(tmp_path):
    """Runs by direct sums and by series, stopped and resumed, are the runs that never stopped."""
    smooth = mf.MultiIndexTarget(lambda z: np.tanh(z.sum(axis=1)), k=4)
    measure = make_measure(4, n=20, scale=0.4)
    for target, name in ((mf.targets.staircase(4), "series"), (smooth, "quadrature")):
        problem = mf.Problem(target, "tanh", math.inf)
        calls = []

        def stop(t, state, calls=calls):
            calls.append(t)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return t

        def run(problem=problem, stop=stop, **options):
            watched = {"t": stop}
            return mf.solve_mean_field(
                problem, measure, 2.0, save_at=5, observables=watched, **options
            )

        file = tmp_path / name
        part, rest = run(checkpoint=file), run(checkpoint=file)
        assert part.status is mf.Status.INTERRUPTED and rest.stats["field"] == name
        whole = run()
        assert rest.final == whole.final and np.array_equal(rest.risk, whole.risk)


@pytest.mark.parametrize("sigma", ["tanh", "softplus", "leaky_relu"])
def test_runs_with_decay_are_those_of_networks_of_twice_the_width(sigma):
    """At D = 1 the direction outside is ±1: a law of n neurons is a network of 2n, exactly."""
    target = mf.CommitteeTarget(2, "erf", gram=[[1.0, 0.3], [0.3, 1.2]], weights=[1.0, -0.5])
    problem = mf.Problem(
        target, sigma, 3, second_layer_rate=0.5, weight_decay=0.1, second_layer_decay=0.2
    )
    draw = make_measure(2, n=4, scale=0.5, seed=3)
    law = mf.ParticleMeasure(draw.a, draw.u, draw.r + 0.5)
    u, a = np.tile(law.u, (2, 1)), np.tile(law.a, 2)
    r = np.concatenate((law.r, -law.r))
    network = mf.Overlaps(u @ u.T + np.outer(r, r), u @ target.basis.T, target.gram, a)
    many = mf.solve_mean_field(problem, law, 3.0, save_at=4, rtol=1e-9, atol=1e-11)
    wide = mf.solve_overlaps(problem, network, 3.0, save_at=4, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(many.risk, wide.risk, rtol=0, atol=2e-6)
    np.testing.assert_allclose(many.final.a, wide.final.a[:4], rtol=0, atol=1e-5)
    M = many.final.u @ target.basis.T
    np.testing.assert_allclose(M, wide.final.M[:4], rtol=0, atol=1e-5)
