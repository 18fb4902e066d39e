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


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("times", [4, [0.5, 1.0, 1.5]])
def test_curves_do_not_need_the_states(name, times):
    """The states at the first and last of the saved times are those of a run that keeps all."""
    solver, start = SOLVERS[name]
    whole, ends = (
        solver(PROBLEM, start, 2.0, save_at=times, keep=keep, observables={"u": first})
        for keep in ("all", "ends")
    )
    assert np.array_equal(ends.observables["u"], whole.observables["u"])
    assert np.array_equal(ends.risk, whole.risk) and ends.final == whole.final
    all_states, end_states = (
        run.states[0] if name == "sgd" else run.states for run in (whole, ends)
    )
    assert len(all_states) == len(whole.t) and len(end_states) == 2
    assert end_states[0] == all_states[0] and end_states[1] == all_states[-1]


@pytest.mark.parametrize("name", SOLVERS)
def test_what_is_kept_is_said_in_one_way(name):
    with pytest.raises(ValueError, match=r"keep must be one of 'all', .*'ends'.* got 'none'"):
        solve(name, keep="none")
    with pytest.raises(TypeError, match="progress must be True or False"):
        solve(name, progress="yes")


@pytest.mark.parametrize("name", ["mean_field", "overlaps"])
def test_the_method_is_chosen_by_name(name):
    solver, start = SOLVERS[name]
    runs = {
        method: solver(PROBLEM, start, 2.0, save_at=2, rtol=1e-7, method=method)
        for method in ("auto", "dormand_prince", "bogacki_shampine")
    }
    assert runs["auto"].states == runs["dormand_prince"].states  # nothing is stiff here
    assert runs["bogacki_shampine"].stats["method"] == "Bogacki-Shampine 3(2)"
    assert runs["bogacki_shampine"].risk == pytest.approx(runs["auto"].risk, rel=1e-5)
    assert runs["bogacki_shampine"].stats["steps"] > 2 * runs["auto"].stats["steps"]
    with pytest.raises(ValueError, match="method must be one of 'auto', 'dormand_prince', 'b"):
        solve(name, method="euler")


@pytest.mark.parametrize("name", SOLVERS)
def test_what_an_observable_raises_says_which_one(name):
    with pytest.raises(ZeroDivisionError) as caught:
        solve(name, observables={"good": first, "bad": lambda t, state: 1 / 0})
    assert "observable 'bad' at t = 0" in "".join(caught.value.__notes__)


def fragile(t, state):
    if t > 1.0:
        raise RuntimeError("out of order")
    return first(t, state)


@pytest.mark.parametrize("name", SOLVERS)
def test_an_observable_that_fails_later_is_missing(name, tmp_path):
    observables = {"good": first, "bad": fragile}
    run, plain = solve(name, observables=observables), solve(name, observables={"good": first})
    assert run.status == plain.status == "success"
    assert "'bad' is missing at 2 of 4 times (RuntimeError at t = 1.3" in run.message
    assert "out of order" in run.message and "missing" not in plain.message
    assert np.array_equal(run.observables["good"], plain.observables["good"])
    bad, good = run.observables["bad"], run.observables["good"]
    early = run.t <= 1.0
    assert np.array_equal(bad[..., early, :], good[..., early, :])
    assert np.isnan(bad[..., ~early, :]).all() and (~early).sum() == 2
    assert mf.load(run.save(tmp_path / "run.npz")) == run


@pytest.mark.parametrize("name", SOLVERS)
def test_observables_that_never_work_lose_nothing(name):
    solver, start = SOLVERS[name]
    run = solver(PROBLEM, start, 2.0, save_at=[1.0, 2.0], observables={"bad": lambda t, s: 1 / 0})
    assert run.status == "success" and "missing at 2 of 2" in run.message
    assert np.isnan(run.observables["bad"]).all() and run.observables["bad"].shape[-1] == 2


def test_one_run_of_sgd_that_fails_leaves_the_others():
    seen = []

    def count(t, state):
        seen.append(t)
        return 1.0 / 0.0 if len(seen) == 6 else 1.0

    run = solve("sgd", runs=2, observables={"count": lambda t, state: np.float64(count(t, state))})
    assert np.isnan(run.observables["count"]).tolist() == [[False] * 4, [False, False, True, False]]


def test_a_shape_that_changes_is_missing():
    run = solve("mean_field", observables={"x": lambda t, state: [0] * int(1 + t)})
    assert "must keep their shape" in run.message and run.observables["x"].shape == (4, 1)
    assert np.isnan(run.observables["x"][:, 0]).tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    ("observables", "error", "match"),
    [
        ([first], TypeError, "observables must be a mapping .* got list"),
        ({1: first}, TypeError, "observables must be named by strings, got 1"),
        ({"x": 1.0}, TypeError, r"observables\['x'\] must be a function of \(t, state\), got 1.0"),
        (
            {"x": lambda state: 1.0},
            TypeError,
            r"function of \(t, state\), got one of \(state\)",
        ),
        ({"x": lambda t, state: "high"}, TypeError, "'x' returned .* at t = 0"),
    ],
)
def test_bad_observables_are_named(observables, error, match):
    with pytest.raises(error, match=match):
        solve("mean_field", observables=observables)
