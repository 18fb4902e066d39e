"""Many neurons in few dimensions: SGD along the neurons, and risks without p² numbers."""

import numpy as np
import pytest

import meanfield as mf
from meanfield.dynamics.sgd.runs import WeightsRuns, WideRuns, make_step, make_streams
from tests.reference import sgd as twin


def make(student="erf", link="erf", p=40, d=3, kappa=1.0, noise=0.1):
    target = mf.CommitteeTarget(k=2, activation=link, noise=noise)
    problem = mf.Problem(target, student, d, 0.02 * p, kappa)
    weights = mf.gaussian_weights(problem, p, seed=1)
    a = np.random.default_rng(0).uniform(-1.5, 1.5, p)
    return problem, mf.Weights(weights.W, weights.W_star, a)


@pytest.mark.parametrize("kappa", [0.0, 2.0])
@pytest.mark.parametrize(
    ("student", "link"), [("erf", "erf"), ("square", "square"), ("relu", "square"), ("tanh", "erf")]
)
def test_runs_along_the_neurons_are_the_other_runs(student, link, kappa):
    problem, start = make(student, link, kappa=kappa)
    step = make_step(problem, 40, 1, False)
    assert WideRuns.suits(problem, step, 40)
    found = []
    for simulator in (WideRuns, WeightsRuns):
        for kind in ("Weights", "Overlaps"):
            run = simulator(problem, start, step, make_streams(3, 2), kind)
            for steps in (1, 16, 3):
                assert run.advance(steps).tolist() == [steps, steps]
                run.record()  # to look does not disturb
            found.append(run.record())
    for fields, risk in found[1:]:
        np.testing.assert_allclose(risk, found[0][1], rtol=1e-9)
        np.testing.assert_allclose(fields["a"], found[0][0]["a"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[2][0]["W"], found[0][0]["W"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[3][0]["Q"], found[1][0]["Q"], rtol=0, atol=1e-12)


def test_one_step_along_the_neurons_is_the_twins():
    problem, start = make("square", "square", noise=0.0)
    run = WideRuns(problem, start, make_step(problem, 40, 1, False), make_streams(7, 1), "Weights")
    run.advance(1)
    W, a = twin.step(problem, start.W, start.W_star, start.a, run.X[0], np.zeros(1))
    fields = run.record()[0]
    np.testing.assert_allclose(fields["W"][0], W, rtol=0, atol=1e-13)
    np.testing.assert_allclose(fields["a"][0], a, rtol=0, atol=1e-13)


def test_which_steps_run_along_the_neurons():
    problem, _ = make()
    assert not WideRuns.suits(problem, make_step(problem, 40, 2, False), 40)
    assert not WideRuns.suits(problem, make_step(problem, 40, 1, True), 40)
    assert not WideRuns.suits(problem, make_step(problem, 40, 1, False), 8)
    assert not WideRuns.suits(problem, make_step(problem.at_dim(1000), 40, 1, False), 40)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_does_not_know_threads_or_its_recorded_times(threads):
    problem, start = make("square", "square")
    options = {"seed": 5, "runs": 3, "threads": threads}
    often = mf.simulate_sgd(problem, start, 1.0, save_at=21, **options)
    rarely = mf.simulate_sgd(problem, start, 1.0, save_at=[1.0], **{**options, "threads": None})
    assert np.array_equal(often.risk[:, -1], rarely.risk[:, -1])
    assert np.array_equal(often.final[2].W, rarely.final[2].W)


@pytest.mark.parametrize("link", ["square", "erf"])
@pytest.mark.parametrize("student", ["square", "erf", "relu"])
def test_risk_of_many_neurons_is_that_of_their_overlaps(student, link):
    problem, start = make(student, link, p=19)
    risk = mf.population_risk(problem, start.overlaps())
    assert mf.population_risk(problem, start) == pytest.approx(risk, rel=1e-12)


def test_risk_of_squares_keeps_its_digits_where_it_vanishes():
    problem = mf.Problem(mf.CommitteeTarget(k=1, activation="square"), "square", dim=3)
    direction = mf.gaussian_weights(problem, 1).W_star
    for excess in (1e-3, 1e-9):  # (1 + x)² λ*² against λ*²: ½ (2x + x²)² E λ*⁴
        start = mf.Weights(np.tile(direction * (1 + excess), (8, 1)), direction, np.ones(8))
        expected = 1.5 * (2 * excess + excess**2) ** 2
        assert mf.population_risk(problem, start) == pytest.approx(expected, rel=1e-6)


def test_weights_of_another_target_have_no_risk_here():
    problem, start = make("square", "square")
    other = mf.Weights(start.W, 2.0 * start.W_star, start.a)
    with pytest.raises(ValueError, match="Gram"):
        mf.population_risk(problem, other)
