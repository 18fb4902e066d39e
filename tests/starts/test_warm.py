"""Starts from states: what is kept, what is drawn, what is refused."""

import numpy as np
import pytest

import meanfield as mf

K1, K2 = mf.CommitteeTarget(k=1), mf.CommitteeTarget(k=2, gram=[[1.0, 0.3], [0.3, 1.0]])
PROBLEM = mf.Problem(K2, dim=12)
STATES = {
    "measure": mf.gaussian_measure(PROBLEM, 5, second_layer="gaussian"),
    "overlaps": mf.gaussian_overlaps(PROBLEM, 5, second_layer="gaussian"),
    "weights": mf.gaussian_weights(PROBLEM, 5, second_layer="gaussian"),
}
KINDS = list(STATES)


def measure_of(state):
    return state if isinstance(state, mf.ParticleMeasure) else state.measure()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("dim", [12, 40])
def test_every_kind_starts_every_other(source, kind, dim):
    state = STATES[source]
    start = mf.warm_start(state, PROBLEM.at_dim(dim), kind, seed=2)
    assert type(start) is type(STATES[kind])
    before, after = measure_of(state), measure_of(start)
    assert np.allclose(before.points(), after.points(), rtol=0, atol=1e-12)
    assert start.origin == {"start": "warm", "from": dict(state.origin), "seed": 2}
    if kind == "weights":
        assert start.dim == dim
    if "measure" not in (source, kind):  # angles between neurons are known, and kept
        Q = [s.overlaps().Q if isinstance(s, mf.Weights) else s.Q for s in (state, start)]
        assert np.allclose(*Q, rtol=0, atol=1e-12)


@pytest.mark.parametrize("source", KINDS)
def test_same_kind_and_problem_is_the_same_state(source):
    assert mf.warm_start(STATES[source], PROBLEM) == STATES[source]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_other_numbers_of_neurons_are_resampled(source, kind):
    start = mf.warm_start(STATES[source], PROBLEM, kind, n=10)
    doubled = np.repeat(measure_of(STATES[source]).points(), 2, axis=0)
    assert np.allclose(measure_of(start).points(), doubled, atol=1e-12)


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_another_target_in_the_subspace_sees_the_same_neurons(source, kind):
    other = mf.Problem(mf.CommitteeTarget(k=2, gram=[[2.0, -0.5], [-0.5, 1.0]]), dim=12)
    start = mf.warm_start(STATES[source], other, kind)
    assert np.allclose(measure_of(start).points(), measure_of(STATES[source]).points(), atol=1e-12)
    if kind != "measure":
        assert np.allclose((start if kind == "overlaps" else start.overlaps()).P, other.target.gram)
        mf.population_risk(other, start)


def test_a_solution_stands_for_its_final_state():
    problem = mf.Problem(K1, dim=50, learning_rate=0.5)
    first = mf.solve_overlaps(problem, mf.gaussian_overlaps(problem, 3), t_end=1.0)
    second = mf.solve_overlaps(problem, mf.warm_start(first, problem), t_end=1.0, sgd_noise=False)
    assert second.risk[0] == pytest.approx(first.risk[-1], rel=1e-12)
    runs = mf.simulate_sgd(problem, mf.gaussian_overlaps(problem, 3), t_end=0.5, runs=2)
    with pytest.raises(TypeError, match="source has one final state a run"):
        mf.warm_start(runs, problem)
    start = mf.warm_start(runs.final[1], problem, "measure", n=6)
    assert start.n == 6 and mf.solve_mean_field(problem, start, 0.5).success


def test_a_run_continued_is_the_run():
    problem = mf.Problem(K1)
    start = mf.aligned_measure(problem, 8, 0.1, spread=0.1)
    whole = mf.solve_mean_field(problem, start, 2.0, rtol=1e-9, atol=1e-12)
    half = mf.solve_mean_field(problem, start, 1.0, rtol=1e-9, atol=1e-12)
    rest = mf.solve_mean_field(problem, mf.warm_start(half, problem), 1.0, rtol=1e-9, atol=1e-12)
    assert np.allclose(rest.final.points(), whole.final.points(), rtol=0, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_antisymmetric_networks_are_zero(kind):
    state = STATES[kind]
    start = mf.antisymmetric(state)
    assert len(start.a) == 10 and type(start) is type(state)
    silent = PROBLEM.target.second_moment() / 2
    assert mf.population_risk(PROBLEM, start) == pytest.approx(silent, rel=1e-12)
    assert start.origin["start"] == "antisymmetric"


def test_antisymmetric_keeps_masses():
    measure = mf.ParticleMeasure([1.0, 2.0], [[0.1], [0.2]], [1.0, 1.0], mass=[0.25, 0.75])
    assert mf.antisymmetric(measure).mass.tolist() == [0.125, 0.375, 0.125, 0.375]


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"source": np.eye(2)}, TypeError, "source must be a ParticleMeasure, Overlaps or Weights"),
        ({"problem": K2}, TypeError, "problem must be a Problem"),
        ({"kind": "law"}, ValueError, "kind must be one of 'measure', 'overlaps', 'weights'"),
        ({"n": 0}, ValueError, "n must be an integer of at least 1"),
        ({"seed": -2}, ValueError, "seed must be an integer"),
        ({"problem": mf.Problem(K1, dim=12)}, ValueError, "principal subspace of dimension 2"),
        ({"problem": mf.Problem(K2), "kind": "weights"}, ValueError, "must have a finite dim"),
        ({"problem": mf.Problem(K2, dim=4)}, ValueError, "span 5 directions .* only 2"),
    ],
)
def test_bad_input_is_named(arguments, error, match):
    given = {"source": STATES["overlaps"], "problem": PROBLEM, "kind": "weights"} | arguments
    with pytest.raises(error, match=match):
        mf.warm_start(**given)
    with pytest.raises(TypeError, match="state must be a ParticleMeasure"):
        mf.antisymmetric([1.0])
