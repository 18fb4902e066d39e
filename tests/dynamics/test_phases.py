"""Runs that go on under another problem: one clock, against runs that never stopped."""

import math
from dataclasses import replace

import numpy as np
import pytest

import meanfield as mf
from meanfield.dynamics import checkpoint as module
from meanfield.dynamics.state_series import last_states
from tests.parallel.ranks import Team

S, U = mf.schedules, mf.until
TASK = mf.CommitteeTarget(k=1, noise=0.01)
ONE, TWO = mf.targets.together(TASK, TASK, [[0.3]])


def make(target=ONE, rate=0.5, **rates):
    return mf.Problem(target, dim=100, learning_rate=rate, **rates)


FIRST, SECOND = make(), make(TWO)
START = mf.gaussian_overlaps(FIRST, p=2, seed=1)


@pytest.mark.parametrize(
    "rate",
    [
        0.5,
        S.power(1.0, 1.0, onset=2.0),
        S.power(1.0, 0.7, onset=5.0, clock="alpha"),
        S.piecewise([0.0, 3.0, 6.0], [1.0, 0.4, 0.1]),
    ],
    ids=["number", "power", "alpha", "piecewise"],
)
def test_a_run_that_goes_on_as_before_is_the_whole_run(rate):
    """Its schedules are read by the clock of the whole, in t and in α."""
    problem = make(rate=rate)
    whole = mf.solve_overlaps(problem, START, 8.0, save_at=[0.0, 4.0, 6.0, 8.0], rtol=1e-9)
    run = mf.solve_overlaps(problem, START, 4.0, save_at=2, rtol=1e-9).then(
        problem, 8.0, save_at=[6.0, 8.0]
    )
    np.testing.assert_array_equal(run.t, whole.t)
    np.testing.assert_allclose(run.risk, whole.risk, rtol=1e-6)
    np.testing.assert_allclose(run.alpha, whole.alpha, rtol=1e-9)
    np.testing.assert_allclose(run.steps, whole.steps, rtol=1e-9)
    assert run.parameters["rtol"] == 1e-9 and run.problem == problem


def test_a_second_layer_set_free_is_a_schedule_that_jumps():
    for solve, start in (
        (mf.solve_overlaps, START),
        (mf.solve_mean_field, mf.gaussian_measure(FIRST, 50, seed=1)),
    ):
        jump = make(second_layer_rate=S.piecewise([0.0, 2.0], [0.0, 1.0]))
        whole = solve(jump, start, 4.0, save_at=[0.0, 2.0, 4.0], rtol=1e-9)
        run = solve(FIRST, start, 2.0, save_at=2, rtol=1e-9).then(
            make(second_layer_rate=1.0), 4.0, save_at=[4.0]
        )
        np.testing.assert_allclose(run.risk, whole.risk, rtol=1e-6)
        assert run.a.shape == whole.a.shape
        np.testing.assert_allclose(run.a, whole.a, rtol=1e-6)


def test_forgetting_is_measured_under_both_targets():
    run = mf.solve_overlaps(FIRST, START, 30.0, save_at=4).then(SECOND, 60.0, save_at=4)
    assert run.t.tolist() == [0.0, 10.0, 20.0, 30.0, 30.0, 40.0, 50.0, 60.0]
    first, second = run.phases
    assert (first.problem, second.problem) == (FIRST, SECOND)
    np.testing.assert_allclose(run.risk_under(ONE)[:4], first.risk, rtol=1e-12)
    np.testing.assert_allclose(run.risk_under(TWO)[4:], second.risk, rtol=1e-12)
    np.testing.assert_allclose(first.risk_under(TWO)[-1], second.risk[0], rtol=1e-12)
    assert run.risk_under(ONE)[-1] > 10.0 * run.risk_under(ONE)[3]
    assert second.t.tolist() == [30.0, 40.0, 50.0, 60.0]
    np.testing.assert_allclose(second.states[0].Q, first.final.Q, rtol=1e-14)
    alone = mf.solve_overlaps(SECOND, first.final, 30.0, save_at=4)
    np.testing.assert_allclose(second.risk, alone.risk, rtol=1e-9)
    np.testing.assert_allclose(second.alpha, 2.0 / 0.5 * second.t)


@pytest.mark.parametrize("kind", ["law", "weights"])
def test_sgd_goes_on_from_where_each_run_is(kind):
    start = START if kind == "law" else mf.gaussian_weights(FIRST, p=2, seed=1)
    before = mf.simulate_sgd(FIRST, start, 6.0, runs=3, seed=4, save_at=3)
    run = before.then(SECOND, 12.0, save_at=3)
    first, second = run.phases
    assert first == replace(before, parts=first.parts)
    for i in range(3):
        assert second.states[i][0].Q == pytest.approx(before.final[i].Q) if kind == "law" else True
        assert second.states[i][0] == before.final[i] or kind == "law"
    assert run.risk.shape == (3, 6) and len(run.final) == 3
    np.testing.assert_array_equal(run.steps, [0, 1200, 2400, 2400, 3600, 4800])
    np.testing.assert_array_equal(run.alpha, run.steps / 100)
    np.testing.assert_allclose(run.t, [0.0, 3.0, 6.0, 6.0, 9.0, 12.0])
    # noise is drawn anew: the same problem from the same state does not repeat its samples
    ends = last_states(before.states)
    again = mf.simulate_sgd(FIRST, ends, 6.0, runs=3, seed=4, save_at=[6.0])
    other = replace(before, parts=()).then(FIRST, 12.0, save_at=[12.0])
    assert (again.risk[:, 0] != other.risk[:, -1]).all()
    assert len({*other.risk[:, -1]}) == 3


def test_sgd_follows_the_equations_through_a_change_of_task():
    theory = mf.solve_overlaps(FIRST, START, 10.0, save_at=3).then(SECOND, 20.0, save_at=3)
    sgd = mf.simulate_sgd(FIRST, START, 10.0, runs=200, save_at=3).then(SECOND, 20.0, save_at=3)
    mean, spread = sgd.risk.mean(axis=0), sgd.risk.std(axis=0) / math.sqrt(200)
    assert (np.abs(mean - theory.risk) <= 5.0 * spread + 3.0 / 100 * theory.risk + 1e-12).all()


def test_conditions_observables_and_times_are_of_the_whole_clock():
    def clock(t, state):
        return t

    def late(t, state):
        return 7.0 - t

    for solve in (mf.solve_overlaps, mf.simulate_sgd):
        run = solve(FIRST, START, 4.0, save_at=3, observables={"clock": clock})
        run = run.then(SECOND, 9.0, until=late, save_at=[5.0, 8.0], observables={"clock": clock})
        assert run.t[-1] == pytest.approx(7.0, abs=0.003) and run.success
        np.testing.assert_allclose(np.ravel(run.stopped_at), 7.0, atol=0.003)
        np.testing.assert_allclose(np.ravel(run.observables["clock"]), run.t, rtol=1e-12)
        last = run.then(FIRST, 10.0, save_at=2)
        assert len(last.phases) == 3 and np.isnan(np.ravel(last.observables["clock"])[-1])
        assert last.phases[1].stopped_by in ("late", ["late"])


def u_squared(t, part):
    return t + (part.u**2).sum(axis=1).mean()


def late(t, part):
    return 7.5 - t


def test_ranks_go_on_together():
    first = mf.Problem(mf.CommitteeTarget(k=1), dim=30)
    second = mf.Problem(mf.CommitteeTarget(k=1, activation="relu"), dim=30)
    start = mf.parallel.draw(mf.gaussian_measure, first, 300, seed=3)
    until = late
    alone = mf.solve_mean_field(first, start, 4.0, save_at=3)
    alone = alone.then(second, 30.0, until=until, save_at=[5.0, 6.0], observables={"u": u_squared})

    def solve(comm):
        part = mf.parallel.draw(mf.gaussian_measure, first, 300, seed=3, comm=comm)
        run = mf.parallel.solve_mean_field(first, part, 4.0, comm=comm, save_at=3)
        with pytest.raises(ValueError, match="comm="):
            run.then(second, 30.0)
        with pytest.raises(ValueError, match="t_end"):
            run.then(second, 30.0 if comm.rank else 1.0, comm=comm)
        return run.then(
            second, 30.0, comm=comm, until=until, save_at=[5.0, 6.0], averages={"u": u_squared}
        )

    for run in Team(2).run(solve):
        assert len(run.phases) == 2 and run.stopped_by == alone.stopped_by != ""
        np.testing.assert_allclose(run.t, alone.t, rtol=1e-9)
        np.testing.assert_allclose(run.risk, alone.risk, rtol=1e-9)
        np.testing.assert_allclose(run.observables["u"][3:], alone.observables["u"][3:], rtol=1e-9)
        assert run.final.n == 150 and run.parameters["t_end"] == 30.0


def test_runs_that_were_stopped_wait_for_the_last():
    run = mf.simulate_sgd(FIRST, START, 30.0, runs=4, until=U.risk_below(0.01), save_at=3)
    went = run.then(SECOND, 40.0, save_at=2)
    assert len(set(run.stopped_at)) == 4
    np.testing.assert_allclose(went.t[-2], run.stopped_at.max())
    for state, before in zip(went.phases[1].states, run.final, strict=True):
        np.testing.assert_allclose(state[0].Q, before.Q, rtol=1e-12)


def test_phases_are_stored(tmp_path):
    run = mf.solve_overlaps(FIRST, START, 3.0, save_at=3, keep="ends")
    run = run.then(SECOND, 6.0, save_at=3).then(FIRST, 7.0, save_at=2, until=U.risk_below(1e-9))
    again = mf.load(run.save(tmp_path / "run"))
    assert again == run and again.phases == run.phases
    assert run.state_t.tolist() == [0.0, 3.0, 3.0, 6.0, 6.0, 7.0]
    assert len(run.risk_under(TWO)) == 6 and [len(p.states) for p in run.phases] == [2, 2, 2]
    one = run.phases[0]
    assert again != one and one.phases == (one,)


@pytest.mark.usefixtures("interrupted_results")
def test_a_later_phase_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "INTERVAL", 0.0)
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    asked = []

    def stop(t, state):
        asked.append(t)
        if len(asked) == 9:
            raise KeyboardInterrupt
        return 0.0

    before = mf.simulate_sgd(FIRST, START, 6.0, runs=3, save_at=3)

    def go_on(path=None):
        return before.then(SECOND, 12.0, save_at=4, observables={"stop": stop}, checkpoint=path)

    stopped = go_on(tmp_path / "run")
    assert stopped.status == "interrupted" and (tmp_path / "run").exists()
    assert go_on(tmp_path / "run") == go_on()


def test_the_picture_of_a_run_marks_its_phases():
    run = mf.solve_overlaps(FIRST, START, 3.0, save_at=3)
    marks = [
        [line.get_xdata()[0] for line in each.plot().lines if line.get_linestyle() == ":"]
        for each in (run, run.then(SECOND, 6.0).then(FIRST, 7.0))
    ]
    assert marks == [[], [3.0, 6.0]]


def test_what_cannot_go_on_is_refused_by_name():
    run = mf.solve_overlaps(FIRST, START, 1.0, save_at=2)
    for call, word in (
        (lambda: run.then(SECOND, 1.0), "t_end"),
        (lambda: run.then(mf.Problem(TASK, dim=100), 2.0), "together"),
        (lambda: run.then(FIRST.at_dim(50), 2.0), "dim"),
        (lambda: run.then(FIRST, 2.0, save_at=[0.5]), "save_at"),
        (lambda: run.risk_under(TASK), "Gram"),
    ):
        with pytest.raises(ValueError, match=word):
            call()
    with pytest.raises(TypeError, match="problem"):
        run.then(TWO, 2.0)


# ---- studies


def joint(number, likeness=0.3):
    task = {"kind": "committee", "k": 1}
    return {
        "kind": "together", "targets": [task, task], "overlap": [[likeness]], "number": number,
    }  # fmt: skip


@pytest.mark.parametrize("description", ["overlaps", "sgd", "diffusion"])
def test_a_study_goes_on_through_phases(description, tmp_path):
    study = mf.Study(
        problem={"target": joint(1), "dim": 100, "learning_rate": 0.5},
        start={"law": "gaussian_overlaps", "p": 2},
        solver={"description": description, "t_end": 10.0, "save_at": 3},
        phases=[
            {"t_end": 20.0, "save_at": 3, "problem": {"target": joint(2)}},
            {"t_end": 22.0, "save_at": 2, "problem": {"learning_rate": 0.1},
             "until": {"kind": "risk_below", "level": 1e-9}},
        ],
        grid={"phases.1.problem.learning_rate": [0.1, 0.2]},
    )  # fmt: skip
    results = study.run(store=tmp_path / "store")
    assert [record.status for record in results.records] == ["success"] * 2
    one, two = mf.targets.together(mf.CommitteeTarget(1), mf.CommitteeTarget(1), [[0.3]])
    first = mf.Problem(one, dim=100, learning_rate=0.5)
    second = mf.Problem(two, dim=100, learning_rate=0.5)
    start = mf.gaussian_overlaps(first, p=2, seed=study.runs[0].parameters["seeds"][0])
    for index, rate in enumerate((0.1, 0.2)):
        arrays = results.records[index].arrays
        t = arrays["t"]
        assert np.allclose(t, [0, 5, 10, 10, 15, 20, 20, 22], atol=0.01)
        if description == "overlaps":
            run = mf.solve_overlaps(first, start, 10.0, save_at=3).then(second, 20.0, save_at=3)
            run = run.then(mf.Problem(two, dim=100, learning_rate=rate), 22.0, save_at=2)
            np.testing.assert_allclose(arrays["risk"], run.risk, rtol=1e-9)
            np.testing.assert_allclose(arrays["risk_1"], run.risk_under(one), rtol=1e-9)
        np.testing.assert_allclose(arrays["risk_1"][..., :3], arrays["risk"][..., :3], rtol=1e-9)
        np.testing.assert_allclose(arrays["risk_2"][..., 3:6], arrays["risk"][..., 3:6], rtol=1e-9)
        np.testing.assert_allclose(arrays["risk_3"], arrays["risk_2"], rtol=1e-9)
    assert mf.Study.from_parameters(study.parameters()) == study
    again = mf.studies.read_results(tmp_path / "store")
    np.testing.assert_array_equal(again.array("risk_1"), results.array("risk_1"))


def test_phases_of_a_study_are_checked_when_it_is_made():
    def make_study(*phases, **grid):
        return mf.Study(
            problem={"target": joint(1), "dim": 100, "learning_rate": 0.5},
            start={"law": "gaussian_overlaps", "p": 2},
            solver={"description": "overlaps", "t_end": 10.0},
            phases=list(phases), grid=grid,
        )  # fmt: skip

    plain, named = make_study(), make_study({"t_end": 11.0})
    assert "phases" not in plain.runs[0].parameters and plain != named
    for phase, word in (
        ({}, r"phases\[0\].t_end"),
        ({"t_end": 10.0}, r"phases\[0\].t_end"),
        ({"t_end": 11.0, "rtol": 1e-3}, "rtol"),
        ({"t_end": 11.0, "problem": {"dimension": 3}}, r"phases\[0\].problem.dimension"),
        ({"t_end": 11.0, "until": {"kind": "never"}}, r"phases\[0\].until"),
        ({"t_end": 11.0, "problem": {"target": joint(3)}}, "number"),
    ):
        with pytest.raises(ValueError, match=word):
            make_study(phase)
    with pytest.raises(ValueError, match="nothing to set"):
        make_study({"t_end": 11.0}, **{"phases.1.t_end": [12.0]})
