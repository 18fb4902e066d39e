"""Observables: curves without clouds, whichever description runs."""

import numpy as np
import pytest

import meanfield as mf

PROBLEM = mf.Problem(mf.CommitteeTarget(k=2), dim=30, learning_rate=0.5)
OVERLAPS = mf.gaussian_overlaps(PROBLEM, 3, seed=1)
SOLVERS = {
    "mean_field": (mf.solve_mean_field, mf.gaussian_measure(PROBLEM, 20, seed=1)),
    "overlaps": (mf.solve_overlaps, OVERLAPS),
    "sgd": (mf.simulate_sgd, OVERLAPS),
}


def solve(name, **options):
    solver, start = SOLVERS[name]
    return solver(PROBLEM, start, 2.0, save_at=4, **options)


def first(t, state):
    return state.u[0] if isinstance(state, mf.ParticleMeasure) else state.M[0]


@pytest.mark.parametrize("name", SOLVERS)
def test_observables_are_functions_of_the_saved_states(name, tmp_path):
    observables = {"time": lambda t, state: t, "first": first, "kind/of": lambda t, state: 3}
    run = solve(name, observables=observables)
    plain = solve(name)
    states = run.states[0] if name == "sgd" else run.states
    found = {key: v[0] if name == "sgd" else v for key, v in run.observables.items()}
    assert list(found) == list(observables)
    assert np.array_equal(found["time"], run.t)
    assert np.array_equal(found["first"], [first(0, state) for state in states])
    assert found["kind/of"].tolist() == [3] * 4
    assert plain.observables == {} and plain.states == run.states and plain != run
    read = mf.load(run.save(tmp_path / "run.npz"))
    assert read == run and list(read.observables) == list(observables)


def test_each_run_of_sgd_is_measured():
    run = solve("sgd", runs=3, keep="ends", observables={"M": lambda t, state: state.M})
    assert run.observables["M"].shape == (3, 4, 3, 2)
    assert np.array_equal(run.observables["M"][:, -1], [state.M for state in run.final])
    assert not np.array_equal(run.observables["M"][0], run.observables["M"][1])


def test_curves_do_not_need_the_states():
    run = solve("mean_field", save_states=False, observables={"u": first})
    assert len(run.states) == 2 and run.observables["u"].shape == (4, 2)
    assert np.array_equal(run.observables["u"], solve("mean_field", observables={"u": first})
                          .observables["u"])  # fmt: skip


@pytest.mark.parametrize("name", SOLVERS)
def test_what_an_observable_raises_says_which_one(name):
    with pytest.raises(ZeroDivisionError) as caught:
        solve(name, observables={"good": first, "bad": lambda t, state: 1 / 0})
    assert "observable 'bad' at t = 0" in "".join(caught.value.__notes__)


@pytest.mark.parametrize(
    ("observables", "error", "match"),
    [
        ([first], TypeError, "observables must be a mapping .* got list"),
        ({1: first}, TypeError, "observables must be named by strings, got 1"),
        ({"x": 1.0}, TypeError, "observables must be functions .* got 1.0 for 'x'"),
        ({"x": lambda t, state: "high"}, TypeError, "'x' returned .* at t = 0"),
        ({"x": lambda t, state: [0] * int(1 + t)}, ValueError, "'x' returned .* and .* before"),
    ],
)
def test_bad_observables_are_named(observables, error, match):
    with pytest.raises(error, match=match):
        solve("mean_field", observables=observables)
