"""Making the runs: every executor alike, failures beside successes, what is kept of them."""

import math
import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import (
    BrokenExecutor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from pathlib import Path

import numpy as np
import pytest

import meanfield as mf
from meanfield.dynamics.sgd.runs import LawRuns
from meanfield.studies import OBSERVABLES, ProcessPool, SerialExecutor, read_results
from meanfield.studies.engine import as_they_finish
from tests.studies.small import final_length, names_of_parts, no_number, same, small, two_numbers
from tests.waiting import PATIENCE

pytestmark = pytest.mark.usefixtures("interrupted_results")

ROOT = Path(__file__).parent.parent.parent
START = {"law": "tests.studies.small:fragile", "n": 8}


@pytest.fixture(scope="module")
def pool():
    with ProcessPool(2) as executor:
        yield executor


@pytest.fixture(scope="module")
def alone():
    return small().run()


def test_processes_and_threads_compute_what_this_process_does(pool, alone, tmp_path):
    assert same(small().run(pool, tmp_path), alone)
    with ThreadPoolExecutor(2) as threads:
        assert same(small().run(threads), alone)
    assert same(small().run(threads=1), alone)
    assert same(small().run(SerialExecutor()), alone)


def test_arrays_have_the_axes_of_the_study(alone):
    assert alone.axes == {"dim": [10, 20, 40], "replica": [0, 1]}
    assert alone.array("risk").shape == (3, 2, 3)
    assert alone.dims("risk") == ("dim", "replica", "time") == alone.dims("t")
    assert (alone.array("t") == [0.0, 0.1, 0.2]).all()
    for run, record in zip(alone.study.runs, alone.records, strict=True):
        assert np.array_equal(alone.array("risk")[run.index], record.arrays["risk"])
    with pytest.raises(ValueError, match="name must be one of risk, t"):
        alone.array("speed")


def test_every_observable_of_every_description():
    problem = mf.Problem(mf.CommitteeTarget(k=2), dim=30, learning_rate=0.1)
    finite = ("Q", "M")
    for description, law, size in [
        ("mean_field", "gaussian_measure", {"n": 6}),
        ("overlaps", "gaussian_overlaps", {"p": 3}),
        ("sgd", "gaussian_weights", {"p": 3}),
    ]:
        names = [m for m in OBSERVABLES if m not in finite or description != "mean_field"]
        study = mf.Study(
            problem,
            {"law": law, **size},
            {"description": description, "t_end": 0.2, "save_at": 3},
            ["risk", *names],
        )
        results = study.run()
        assert results.complete, results.records[0].traceback
        times = 3
        for name in names:
            array, dims = results.array(name), results.dims(name)
            leading = ("replica", "run", "time") if description == "sgd" else ("replica", "time")
            assert dims == leading + OBSERVABLES[name].dims, name
            assert np.isfinite(array).all() and array.shape[len(leading) - 1] == times, name


def test_observables_are_those_of_the_states():
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=30)
    start = {"law": "gaussian_measure", "n": 41}
    solver = {"description": "mean_field", "t_end": 0.5, "save_at": 2}
    results = mf.Study(problem, start, solver, list(OBSERVABLES)[:-2]).run()
    record = results.records[0]
    measure = mf.gaussian_measure(problem, 41, seed=record.parameters["seeds"][0])
    final = mf.solve_mean_field(problem, measure, 0.5, save_at=2).final
    expected = mf.projection.concentration(final, problem)
    last = {name: array[-1] for name, array in record.arrays.items()}
    assert math.isclose(last["energy"], expected.energy, rel_tol=1e-14)
    assert math.isclose(last["mean_alignment"], expected.alignment.mean(), rel_tol=1e-14)
    for name in ("leak", "leak_variance", "function_energy"):
        assert last[name] == getattr(expected, name)
    quantiles = np.sort(expected.alignment)[[2, 10, 20, 30, 38]]
    np.testing.assert_array_equal(last["alignment_quantiles"], quantiles)
    np.testing.assert_allclose(last["mean_direction"], final.u.mean(axis=0))
    np.testing.assert_allclose(last["second_moments"], final.u.T @ final.u / 41)
    assert math.isclose(last["squared_length"], (final.u**2).sum(1).mean() + (final.r**2).mean())


def test_reducing_functions():
    results = small(observables=[final_length, two_numbers], replicas=1).run()
    assert results.names == ["both", "final_length", "first", "t"]
    assert results.dims("final_length") == ("dim", "replica")
    assert results.dims("both") == ("dim", "replica", "both_0")
    assert "final_length" in results.table()[0] and "both" not in results.table()[0]
    bad = small(observables=[no_number], replicas=1).run()
    assert bad.counts == {"failed": 3}
    assert "no_number must return numbers" in bad.records[0].message
    taken = small(observables=[names_of_parts], replicas=1).run()
    assert "must not return 'seal', which is taken" in taken.records[0].message


def test_a_run_that_fails_is_recorded_and_the_others_go_on(pool, tmp_path):
    study = small(start=START)
    for executor in (None, pool):
        results = study.run(executor, store=tmp_path)
        assert results.counts == {"success": 4, "failed": 2} and not results.complete
        failure = results.failures[0]
        assert failure.message == "ArithmeticError: no start in 20 dimensions"
        assert "Traceback" in failure.traceback and "fragile" in failure.traceback
        assert same(read_results(tmp_path), results)
    assert np.isnan(results.array("risk")[1]).all()
    assert np.isfinite(results.array("risk")[[0, 2]]).all()
    assert "no start in 20 dimensions" in results.text()


def test_failures_are_made_again_only_when_asked(tmp_path, monkeypatch):
    study = small(start=START)
    study.run(store=tmp_path)
    monkeypatch.setenv("MACHINE_IS_MENDED", "1")
    assert study.run(store=tmp_path).counts["failed"] == 2
    made = []
    results = study.run(store=tmp_path, retry=True, callback=lambda step: made.append(step.record))
    assert results.complete and len(made) == 2 and not results.failures
    assert read_results(tmp_path).complete


def mended(problem, n: int, seed: int = 0):
    return mf.gaussian_measure(problem, n, seed=seed)


def test_a_function_may_be_mended_where_every_run_failed(tmp_path, monkeypatch):
    study = small(start=START, grid={"problem.dim": [20]})
    assert study.run(store=tmp_path).counts == {"failed": 2}
    monkeypatch.setattr("tests.studies.small.fragile", mended)
    assert study.run(store=tmp_path, retry=True).complete


def test_a_worker_that_dies_takes_no_other_run_with_it(tmp_path, monkeypatch):
    """And spoils none: what the machine did stays unmade, and the next start takes it up."""
    study = small(start={"law": "tests.studies.small:deadly", "n": 8})
    with ProcessPool(2) as pool:
        results = study.run(pool, store=tmp_path)
    assert results.counts == {"success": 4, "missing": 2} and not results.complete
    lost = [record for record in results.records if record.status == "missing"]
    assert all("the worker died" in record.message for record in lost)
    assert results.text().count("not made: run") == 2
    whole = small(start={"law": "tests.studies.small:deadly", "n": 8}, grid={"problem.dim": [10]})
    assert np.array_equal(results.array("risk")[0], whole.run().array("risk")[0])
    monkeypatch.setenv("MACHINE_IS_MENDED", "1")
    made = []
    again = study.run(store=tmp_path, callback=lambda step: made.append(step.record.key))
    assert again.complete and set(made) == {record.key for record in lost}


def test_a_worker_told_to_end_spoils_no_run(tmp_path):
    """Its run goes on from its checkpoint in another, and neither fails nor ends the study."""
    law = {"law": "tests.studies.small:told_to_end", "p": 2, "folder": str(tmp_path)}
    problem = {"target": {"k": 1}, "dim": 10, "learning_rate": 0.5}
    solver = {"description": "sgd", "t_end": 1e5, "save_at": 3}
    study = small(problem=problem, start=law, solver=solver, grid={}, replicas=1)
    with ProcessPool(1) as pool:
        results = study.run(pool, store=tmp_path / "store")
    assert (tmp_path / "told").exists() and results.counts == {"success": 1}
    assert same(results, study.run())


SERVER = """
import multiprocessing.forkserver, os, signal, time
from meanfield.studies import ProcessPool
if __name__ == "__main__":
    with ProcessPool(1) as pool:
        print(pool.submit(signal.pthread_sigmask, signal.SIG_BLOCK, ()).result())
        server = multiprocessing.forkserver._forkserver._forkserver_pid
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(server, number)
        time.sleep(0.3)
        print(os.waitpid(server, os.WNOHANG), pool.submit(max, 1, 2).result())
"""


@pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(), reason="no fork servers here"
)
def test_the_server_of_workers_outlives_signals_to_all(tmp_path):
    """Without it workers look dead; what it does not hear, they do."""
    script = tmp_path / "script.py"
    script.write_text(SERVER)
    said = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=PATIENCE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert said.stdout == "set()\n(0, 0) 2\n", said.stderr


@pytest.mark.parametrize("how", ["cancelled", "shut down", "gone"])
def test_what_the_machine_does_to_a_run_is_not_recorded(tmp_path, how):
    """After three runs the executor cancels the others, or refuses them, or loses them."""

    class Leaving(SerialExecutor):
        in_flight = 1
        done = 0

        def submit(self, fn, /, *args):
            self.done += 1
            if self.done <= 3:
                return super().submit(fn, *args)
            if how == "shut down":
                raise RuntimeError("cannot schedule new futures after shutdown")
            future = Future()
            if how == "cancelled":
                future.cancel()
            else:
                future.set_exception(ConnectionResetError("the client is closed"))
            return future

    if how == "shut down":
        with pytest.raises(RuntimeError, match="after shutdown"):
            small().run(Leaving(), tmp_path)
    else:
        results = small().run(Leaving(), tmp_path)
        assert results.counts == {"success": 3, "missing": 3} and not results.failures
        assert "not brought back by its executor" in results.text()
    assert read_results(tmp_path).counts == {"success": 3, "missing": 3}
    assert same(small().run(store=tmp_path), small().run())


def test_what_was_taken_on_is_kept_when_an_executor_takes_no_more(tmp_path):
    class Late(SerialExecutor):
        """Ends its runs only when it is asked for one too many."""

        waiting = ()

        def submit(self, fn, /, *args):
            if len(self.waiting) == 4:
                for future, task in self.waiting:
                    future.set_result(fn(*task))
                raise RuntimeError("cannot schedule new futures after shutdown")
            future = Future()
            self.waiting = (*self.waiting, (future, args))
            return future

    with pytest.raises(RuntimeError, match="after shutdown"):
        small().run(Late(), tmp_path)
    assert read_results(tmp_path).counts == {"success": 4, "missing": 2}


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_pool_that_broke_says_what_to_use():
    context = multiprocessing.get_context("fork")
    study = small(start={"law": "tests.studies.small:deadly", "n": 8}, grid={"problem.dim": [20]})
    with (
        ProcessPoolExecutor(1, mp_context=context) as pool,
        pytest.raises(BrokenExecutor, match=r"meanfield\.studies\.ProcessPool"),
    ):
        study.run(pool)


def test_a_function_that_exits_is_a_failure_of_its_run():
    results = small(start={"law": "tests.studies.small:leaving", "n": 8}).run()
    assert results.counts == {"success": 4, "failed": 2}
    assert results.failures[0].message == "SystemExit: 20 dimensions are too many"


def test_points_may_have_fewer_replicas():
    grid = {"dim": [{"problem.dim": 10}, {"problem.dim": "inf", "replicas": 1}]}
    results = small(grid=grid).run()
    assert [run.index for run in results.study.runs] == [(0, 0), (0, 1), (1, 0)]
    assert results.axes["replica"] == [0, 1] and results.array("risk").shape == (2, 2, 3)
    assert np.isnan(results.array("risk")[1, 1]).all() and results.complete
    assert [row["dim"] for row in results.table()] == [10, 10, math.inf]
    assert results.table()[-1]["risk"] == results.array("risk")[1, 0, -1]
    with pytest.raises(ValueError, match="replicas must be at most 2"):
        small(grid={"dim": [{"problem.dim": 10, "replicas": 3}]})
    with pytest.raises(ValueError, match="replicas"):
        small(grid={"dim": [{"problem.dim": 10, "replicas": 0}]})


def test_ctrl_c_keeps_what_was_made(tmp_path):
    study = small(start={"law": "tests.studies.small:interrupted", "n": 8})
    results = study.run()
    assert results.counts == {"success": 2, "missing": 4} and not results.complete

    def stop(step):
        if step.done == 3:
            raise KeyboardInterrupt

    results = small().run(store=tmp_path, callback=stop)
    assert results.counts == {"success": 3, "missing": 3}
    assert same(small().run(store=tmp_path), small().run())


def test_ctrl_c_inside_a_run_stops_the_study_and_leaves_a_checkpoint(tmp_path, monkeypatch):
    study = small(
        problem={"target": {"k": 1}, "learning_rate": 0.5},
        start={"law": "gaussian_overlaps", "p": 2},
        solver={"description": "sgd", "t_end": 1e4, "save_at": 3},
        replicas=1,
    )
    expected = study.run()
    advance, calls = LawRuns.advance, []

    def struck_in_the_second_run(self, steps, rates):
        calls.append(self)
        if self is not calls[0] and calls.count(self) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return advance(self, steps, rates)

    with monkeypatch.context() as patch:
        patch.setattr(LawRuns, "advance", struck_in_the_second_run)
        results = study.run(store=tmp_path)
    assert results.counts == {"success": 1, "missing": 2}
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1
    assert same(study.run(store=tmp_path), expected)


def test_an_executor_that_is_gone_is_an_error():
    class Gone:
        def submit(self, *_):
            raise BrokenExecutor("nobody works here")

    with pytest.raises(BrokenExecutor, match="nobody works here"):
        small().run(Gone())


def test_what_cannot_come_back_is_a_failure():
    class Lossy:
        def submit(self, *_):
            future = Future()
            future.set_exception(ValueError("lost on the way"))
            return future

    results = small().run(Lossy())
    assert results.counts == {"failed": 6}
    assert "lost on the way" in results.failures[0].message


def test_tasks_are_handed_over_as_there_is_room():
    handed = []

    class Patient(SerialExecutor):
        in_flight = 3

        def __init__(self):
            self.waiting = []

        def submit(self, fn, /, *args, **kwargs):
            future = Future()
            handed.append(args[0])
            self.waiting.append((future, fn, args))
            if len(self.waiting) == 3:
                for other, function, values in self.waiting:
                    other.set_result(function(*values))
                self.waiting.clear()
            return future

    found = [
        (task, future.result()) for task, future in as_they_finish(abs, range(-9, 0), Patient())
    ]
    assert sorted(found) == [(i, -i) for i in range(-9, 0)]
    assert handed == list(range(-9, 0))


def test_functions_of_users_in_other_processes(pool):
    study = small(
        problem={"target": {"kind": "multi-index", "function": "tests.studies.small:product",
                            "k": 2}, "activation": "tests.studies.small:swish"},
        grid={}, replicas=1,
    )  # fmt: skip
    results = study.run(pool)
    assert not results.failures, results.failures[0].traceback
    assert same(results, study.run())


def test_the_callback_counts(tmp_path):
    steps = []
    small(start=START).run(store=tmp_path, callback=steps.append)
    assert [step.done for step in steps] == [1, 2, 3, 4, 5, 6]
    assert {step.total for step in steps} == {6} and steps[-1].failed == 2
    assert steps[-1].seconds_left == 0.0 and steps[0].seconds_left > 0.0


def test_lines_where_nobody_draws(capsys, tmp_path):
    small(name="lines").run(store=tmp_path, progress=True)
    text = capsys.readouterr().err.splitlines()
    assert text[0] == "lines: 6 runs, 0 of them in the store already"
    assert text[-1].startswith("lines: 6/6 runs, in ")
    small(name="lines").run(store=tmp_path, progress=True)
    assert capsys.readouterr().err.splitlines() == ["lines: 6 runs, 6 of them in the store already"]


def test_a_bar_in_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    small(name="bar").run(progress=True)
    text = capsys.readouterr().err
    assert "bar, 6 runs: 100%" in text and "in the store" not in text


def test_tables(alone):
    rows = alone.table()
    assert len(rows) == 6 and rows[3]["dim"] == 20 and rows[3]["replica"] == 1
    assert rows[3]["risk"] == alone.array("risk")[1, 1, -1]
    assert rows[0]["status"] == "success" and rows[0]["version"] == mf.__version__
    assert rows[0]["seed"] == alone.study.runs[0].parameters["seeds"][0]
    assert 0 <= rows[0]["field_error"] < 1e-8
    text = alone.to_csv().splitlines()
    assert len(text) == 7 and text[0].startswith("dim,replica,seed,status")
    assert all(word in alone.text() for word in ("dim", "risk", "±", "6 success", "field_error"))


@pytest.mark.extra
def test_named_dimensions(alone):
    xarray = pytest.importorskip("xarray", reason="the extra xarray is not installed")
    data = small(observables=["risk", "alignment_quantiles"]).run().to_xarray()
    assert isinstance(data, xarray.Dataset)
    assert data.risk.dims == ("dim", "replica", "time")
    assert np.array_equal(data.risk, alone.array("risk"))
    assert np.array_equal(data.time, alone.records[0].arrays["t"])
    assert data.alignment_quantiles.sel(quantile=0.5, dim=20).shape == (2, 3)
    assert (data.status == "success").all() and (data.field_error < 1e-8).all()
    assert data.attrs["hash"] and "0.1" in data.attrs["versions"]


def test_runs_of_unequal_length_are_filled_up():
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=20, learning_rate=0.5)
    start = {"law": "gaussian_overlaps", "p": 2}
    solver = {"description": "overlaps", "t_end": 0.2, "save_at": 3}
    results = mf.Study(problem, start, solver, ["Q"], {"start.p": [2, 3]}).run()
    Q = results.array("Q")
    assert Q.shape == (2, 1, 3, 3, 3)
    assert np.isnan(Q[0, 0, :, 2]).all() and np.isfinite(Q[1]).all()


def test_a_study_of_fluctuations_keeps_their_bands_over_time():
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=50, learning_rate=0.5)
    solver = {"description": "fluctuations", "t_end": 0.2, "save_at": 3, "rtol": 1e-3}
    start = {"law": "gaussian_overlaps", "p": 2}
    study = mf.Study(problem, start, solver, ["risk", "M"], {"problem.dim": [50, 100]})
    results = study.run()
    assert results.dims("risk_std") == ("dim", "replica", "time")
    assert results.dims("Q_bias")[-2:] == ("neuron", "other_neuron")
    assert results.array("covariance").shape == (2, 1, 3, 7, 7)
    seed = results.records[0].parameters["seeds"][0]
    alone = mf.solve_fluctuations(
        problem, mf.gaussian_overlaps(problem, 2, seed=seed), 0.2, save_at=3, rtol=1e-3
    )
    assert np.array_equal(results.array("risk_std")[0, 0], alone.observables["risk_std"])
    assert np.array_equal(results.array("M")[0, 0], alone.M)
    assert results.table()[0]["risk_std"] == alone.observables["risk_std"][-1]
    band = mf.Study(problem, start, solver | {"description": "risk_band"}).run()
    assert band.dims("risk_std") == ("replica", "time")
    assert band.array("risk_std")[0] == pytest.approx(alone.observables["risk_std"], rel=1e-3)
