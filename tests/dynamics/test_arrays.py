"""A run's states as arrays, and a run for other tools."""

import json
import math

import numpy as np
import pytest

import meanfield as mf


@pytest.fixture(scope="module")
def problem():
    return mf.Problem(mf.CommitteeTarget(k=2), dim=30, learning_rate=0.4)


@pytest.fixture(scope="module")
def runs(problem):
    start = mf.gaussian_overlaps(problem, p=3, seed=0)
    return mf.simulate_sgd(problem, start, 0.5, runs=2, save_at=4, observables={"q": _size})


@pytest.fixture(scope="module")
def flow(problem):
    return mf.solve_mean_field(problem, mf.gaussian_measure(problem, n=10), 0.5, save_at=4)


def _size(t, state):
    return float(np.trace(state.Q))


def test_fields_of_the_states_are_arrays_over_time(runs, flow):
    assert runs.Q.shape == (2, 4, 3, 3) and runs.M.shape == (2, 4, 3, 2)
    for run in range(2):
        for i in range(4):
            assert np.array_equal(runs.Q[run, i], runs.states[run][i].Q)
            assert np.array_equal(runs.a[run, i], runs.states[run][i].a)
            assert np.array_equal(runs.P[run, i], runs.states[run][i].P)
    assert np.array_equal(flow.u, [state.u for state in flow.states])
    assert np.array_equal(flow.r, [state.r for state in flow.states])
    assert np.array_equal(flow.a, [state.a for state in flow.states])


def test_a_field_that_is_not_there_names_those_that_are(runs, flow):
    with pytest.raises(AttributeError, match="Overlaps have no u, only M, P, Q, a"):
        _ = runs.u
    assert not hasattr(flow, "Q")


def test_states_of_the_ends_have_their_times(problem):
    start = mf.gaussian_measure(problem, n=10)
    run = mf.solve_mean_field(problem, start, 0.5, save_at=4, keep="ends")
    assert run.u.shape == (2, 10, 2)
    assert run.state_t.tolist() == [0.0, 0.5]


def test_what_was_computed_cannot_be_overwritten(runs, flow):
    for array in (runs.risk, runs.t, runs.Q, flow.a, flow.u):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0.0


@pytest.mark.extra
def test_named_dimensions(runs, problem):
    pytest.importorskip("xarray", reason="the extra xarray is not installed")
    data = runs.to_xarray()
    assert data.risk.dims == data.q.dims == ("run", "time")
    assert data.Q.dims == ("run", "time", "neuron", "other_neuron")
    assert np.array_equal(data.time, runs.t) and np.array_equal(data.M, runs.M)
    assert json.loads(data.attrs["problem"]) == problem.parameters()
    ends = mf.solve_mean_field(
        problem, mf.gaussian_measure(problem, n=10), 0.5, save_at=4, keep="ends"
    ).to_xarray()
    assert ends.u.dims == ("state_time", "neuron", "direction") and len(ends.time) == 4


@pytest.mark.extra
def test_a_row_for_each_time_and_run(runs, flow):
    pytest.importorskip("pandas", reason="the extra xarray, which brings pandas, is not installed")
    table = runs.to_dataframe()
    assert list(table.columns) == ["run", "time", "risk", "q"] and len(table) == 8
    second = table[table.run == 1]
    assert np.array_equal(second.risk, runs.risk[1])
    assert np.array_equal(second.q, runs.observables["q"][1])
    assert list(flow.to_dataframe().columns) == ["time", "risk"]


def test_notebooks_show_a_short_table(runs, problem):
    shown = runs._repr_html_()
    assert "SGD exact in law" in shown and "success" in shown and "<table>" in shown
    assert "<script" not in shown
    assert "dim d" in problem._repr_html_() and "30" in problem._repr_html_()
    infinite = mf.Problem(mf.CommitteeTarget(k=1))
    assert "∞" in infinite._repr_html_() and "learning rate" not in infinite._repr_html_()


def test_notebooks_show_what_prints_as_a_table_and_a_study(problem):
    diagnosis = mf.regimes.diagnose(problem, width=4)
    assert "overlap ODE" in diagnosis._repr_html_() and diagnosis._repr_html_().startswith("<pre>")
    study = mf.Study(
        problem=mf.Problem(mf.CommitteeTarget(k=1)),
        start={"law": "gaussian_measure", "n": 5},
        solver={"description": "mean_field", "t_end": 0.1, "save_at": 2},
        grid={"problem.dim": [10, math.inf]},
    )
    results = study.run()
    shown = results._repr_html_()
    assert "2 success" in shown and "10, ∞" in shown and "risk" in shown and "seed" in shown
    assert repr(results) == "<StudyResults: study, 2 dim × 1 replica; 2 success>"
    found = mf.concentration_study(mf.CommitteeTarget(k=1), [20, math.inf], n=20, t_end=0.1)
    assert "20, ∞" in found._repr_html_() and "leak at the end" in found._repr_html_()


def test_the_package_shows_what_is_public():
    shown = {name for name in dir(mf) if not name.startswith("_")}
    assert {"Problem", "solve_mean_field", "plotting", "targets", "studies", "schedules"} <= shown
    assert not shown & {"kernels", "checks", "kinks", "factors", "dynamics", "import_module"}
    assert mf.plotting.plot_run is not None
    assert all(hasattr(mf, name) for name in shown)
