"""Runs that stop by themselves, in every description: when, by what, and not too early."""

import math

import numpy as np
import pytest
from scipy.optimize import brentq

import meanfield as mf
from meanfield.dynamics import checkpoint as module
from meanfield.until import check_until
from tests.parallel.ranks import Team

U = mf.until
PROBLEM = mf.Problem(mf.CommitteeTarget(k=2), dim=100, learning_rate=0.0)
START = mf.gaussian_overlaps(PROBLEM, p=2, seed=1)
NOISY = mf.Problem(mf.CommitteeTarget(k=1, noise=0.05), dim=50, learning_rate=0.5)
SEEDS = mf.gaussian_overlaps(NOISY, p=2, seed=1)
FIELD = mf.gaussian_measure(PROBLEM, n=100, seed=1)
# a symmetric plateau, which a difference of 1e-3 between two neurons leaves at t = 100 or so
Q, M = 1 / 3, 1 / math.sqrt(6)
PLATEAU = mf.Overlaps(
    [[Q + 2e-3, Q], [Q, Q + 2e-3]], [[M + 1e-3, M], [M, M + 1e-3]], np.eye(2), [1.0, 1.0]
)
SYMMETRIC = mf.Overlaps([[Q - 0.05] * 2] * 2, [[M - 0.05] * 2] * 2, np.eye(2), [1.0, 1.0])


def meeting(t, state):
    return state.M[0, 0] - 0.3


def past(t, state):
    return 1.5 - t


# ---- conditions as values


def test_a_condition_is_a_value():
    condition = U.any(U.risk_below(1e-3), U.steady(1e-5), meeting)
    assert condition == U.any(U.risk_below(1e-3), U.steady(1e-5), meeting)
    assert hash(condition) == hash(U.any(U.risk_below(1e-3), U.steady(1e-5), meeting))
    assert condition.name == "any(risk_below(0.001), steady(1e-05), meeting)"
    plain = U.any(U.risk_below(1e-3), U.steady(1e-5))
    assert check_until(plain.parameters()) == plain


@pytest.mark.parametrize(
    ("until", "error", "word"),
    [
        (lambda: U.risk_below(0.0), ValueError, "level"),
        (lambda: U.risk_below("low"), TypeError, "level"),
        (lambda: U.steady(-1.0), ValueError, "rtol"),
        (lambda: U.any(), ValueError, "conditions"),
        (lambda: U.any(3.0), TypeError, r"conditions\[0\]"),
        (lambda: {"kind": "risk_above"}, ValueError, "until.*kind"),
        (lambda: {"kind": "risk_below"}, ValueError, "until.*level"),
        (lambda: {"kind": "steady", "atol": 1.0}, ValueError, "until.*atol"),
        (lambda: 1e-3, TypeError, "until"),
        (lambda: lambda state: 1.0, TypeError, r"until: .* of \(t, state\), got one of \(state\)"),
        (lambda: lambda t, state: "low", ValueError, "until"),
        (lambda: lambda t, state: state.Q, ValueError, "until"),
    ],
)
def test_what_is_no_condition_is_refused_by_name(until, error, word):
    with pytest.raises(error, match=word):
        mf.solve_overlaps(PROBLEM, START, 1.0, until=until())


# ---- equations


@pytest.mark.parametrize(
    ("solve", "start", "t_end", "level"),
    [
        (mf.solve_overlaps, START, 400.0, 1e-6),
        (mf.solve_mean_field, FIELD, 400.0, 1e-3),
    ],
)
def test_the_time_at_which_a_risk_is_met_is_that_of_the_whole_run(solve, start, t_end, level):
    """Against a root of the risk along a run of far tighter tolerance that does not stop."""
    run = solve(PROBLEM, start, t_end, until=U.risk_below(level))
    assert run.success and run.stopped_by == f"risk_below({level:g})"
    assert run.t[-1] == run.stopped_at < t_end
    assert 1.0 - 1e-7 < run.risk[-1] / level <= 1.0
    assert run.states[-1] == run.final and len(run.states) == len(run.t)
    assert mf.population_risk(PROBLEM, run.final) == pytest.approx(level, rel=1e-7)

    def excess(t):
        return solve(PROBLEM, start, t, save_at=[t], rtol=1e-10).risk[-1] / level - 1.0

    exact = brentq(excess, 0.98 * run.stopped_at, 1.02 * run.stopped_at, rtol=1e-9)
    assert run.stopped_at == pytest.approx(exact, rel=1e-6)


def test_a_function_ends_a_run_where_its_sign_changes():
    run = mf.solve_overlaps(NOISY, SEEDS, 50.0, until=meeting)
    assert run.stopped_by == "meeting" and run.M[-1, 0, 0] == pytest.approx(0.3, rel=1e-9)
    never = mf.solve_overlaps(NOISY, SEEDS, 1.0, until=lambda t, state: 1.0 + t)
    assert math.isnan(never.stopped_at) and never.stopped_by == "" and never.t[-1] == 1.0
    later = mf.solve_overlaps(NOISY, SEEDS, 3.0, until=lambda t, state: t - 1.5)
    assert later.stopped_at == pytest.approx(1.5, rel=1e-8)


def test_what_holds_at_the_start_ends_a_run_there():
    for solve, start in ((mf.solve_overlaps, SEEDS), (mf.simulate_sgd, SEEDS)):
        run = solve(NOISY, start, 1.0, until=U.risk_below(10.0))
        assert run.t.tolist() == [0.0] and np.all(run.stopped_at == 0.0) and run.success


def test_the_ends_are_kept_where_they_are():
    for start, solve in ((START, mf.solve_overlaps), (FIELD, mf.solve_mean_field)):
        whole = solve(PROBLEM, start, 400.0, until=U.risk_below(1e-3))
        ends = solve(PROBLEM, start, 400.0, until=U.risk_below(1e-3), keep="ends")
        assert len(ends.states) == 2 and ends.final == whole.final
        np.testing.assert_array_equal(ends.state_t, [0.0, whole.stopped_at])


def broken(t, state):
    if t > 1.0:
        raise ZeroDivisionError("of mine")
    return 1.0


def test_a_function_that_fails_later_is_a_status_with_what_was_computed():
    for solve in (mf.solve_overlaps, mf.simulate_sgd):
        run = solve(NOISY, SEEDS, 3.0, until=broken, save_at=[0.0, 0.5, 2.0])
        assert run.status == "invalid" and "of mine" in run.message
        assert len(run.t) == 2
        with pytest.raises(ZeroDivisionError) as caught:
            solve(NOISY, SEEDS, 3.0, until=lambda t, state: 1 / 0)
        assert "until" in caught.value.__notes__[0]


# ---- steady


def test_steady_is_where_the_flow_stands_still():
    run = mf.solve_overlaps(NOISY, SEEDS, 5000.0, until=U.steady(1e-4))
    assert run.stopped_by == "steady(0.0001)"
    again = mf.solve_overlaps(NOISY, run.final, run.stopped_at, save_at=2)
    for name in ("Q", "M"):
        change = np.abs(getattr(again, name)[-1] - getattr(again, name)[0]).max()
        assert change <= 1e-4 * np.abs(getattr(run, name)).max()
    sooner = mf.solve_overlaps(NOISY, SEEDS, 5000.0, until=U.steady(1e-2))
    assert sooner.stopped_at < run.stopped_at


def test_a_plateau_that_is_being_left_is_not_steady():
    rate = mf.find_stationary(PROBLEM, SYMMETRIC).escape_rate
    assert rate > 0.01
    run = mf.solve_overlaps(PROBLEM, PLATEAU, 5000.0, until=U.steady(0.2))
    plain = mf.solve_overlaps(PROBLEM, PLATEAU, 20.0)
    moved = np.abs(plain.Q[-1] - plain.Q[10]).max()
    assert moved < 0.05  # nothing moves much for a long time, but the end is elsewhere
    assert run.stopped_by and run.risk[-1] < 0.01 * plain.risk[-1]
    # neurons that are equal to the last bit never leave; it is no end of learning either
    equal = mf.solve_overlaps(PROBLEM, SYMMETRIC, 300.0, until=U.steady(1e-3))
    assert math.isnan(equal.stopped_at) and equal.risk[-1] > 1e-3


@pytest.mark.parametrize("gamma", [0.0, 0.5])
def test_a_large_constant_component_hides_nothing(gamma):
    """A silent neuron, at length 1 or 1000: it does not move, and the others do not see it."""
    problem = mf.Problem(mf.CommitteeTarget(k=1, noise=0.01), learning_rate=gamma)
    ends = []
    for length in (1.0, 1e3):
        overlaps = np.diag([1.0, 0.8, length**2])
        start = mf.Overlaps(overlaps, [[0.3], [0.1], [0.0]], [[1.0]], [1.5, 1.5, 0.0])
        ends.append(mf.solve_overlaps(problem, start, 1e4, until=U.steady(2e-2), rtol=1e-8))
    assert ends[0].stopped_by and ends[1].stopped_by
    assert ends[1].stopped_at == pytest.approx(ends[0].stopped_at, rel=0.03)


# ---- SGD


@pytest.mark.parametrize("kind", ["law", "weights", "wide"])
@pytest.mark.parametrize("level", [0.02, None])
def test_each_run_of_sgd_stops_at_the_first_step_at_which_it_can(kind, level):
    """Against the same runs looked at after every step.

    Without a level it is one that five runs touch, for a moment and far from the others' times.
    """
    problem, p = (NOISY.at_dim(3), 24) if kind == "wide" else (NOISY, 2)
    t_end = 30.0 if kind != "wide" else 3.0
    start = mf.gaussian_overlaps(problem, p, seed=1) if kind == "law" else None
    start = mf.gaussian_weights(problem, p, seed=1) if start is None else start
    step = 0.5 / (p * problem.dim)
    every = step * np.arange(round(t_end / step) + 1)
    whole = mf.simulate_sgd(problem, start, t_end, runs=12, seed=3, save_at=every, keep="overlaps")
    level = float(np.sort(whole.risk.min(axis=1))[4]) if level is None else level
    run = mf.simulate_sgd(
        problem, start, t_end, runs=12, seed=3, save_at=4, keep="overlaps",
        until=U.risk_below(level),
    )  # fmt: skip
    met = whole.risk <= level
    assert met.any(axis=1).sum() > 2 or kind == "wide"
    for i in range(12):
        if not met[i].any():
            assert math.isnan(run.stopped_at[i]) and run.stopped_by[i] == ""
            continue
        first = int(met[i].argmax())
        assert run.stopped_at[i] == pytest.approx(every[first], rel=1e-12)
        assert run.stopped_by[i] == f"risk_below({level:g})"
        assert run.risk[i, -1] == whole.risk[i, first]
        assert run.final[i] == whole.states[i][first]
    later = run.t > np.nan_to_num(run.stopped_at, nan=np.inf)[:, None]
    assert (np.where(later, run.risk, level) <= level).all()


def test_a_function_stops_each_run_of_sgd():
    run = mf.simulate_sgd(NOISY, SEEDS, 30.0, runs=5, until=meeting, save_at=4)
    assert (~np.isnan(run.stopped_at)).all()
    for state in run.final:
        assert 0.3 <= state.M[0, 0] < 0.3 + 0.1
    assert run.t[-1] == run.stopped_at.max() and "5 of 5" in run.message
    timed = mf.simulate_sgd(NOISY, SEEDS, 3.0, runs=2, until=past, save_at=4)
    np.testing.assert_allclose(timed.stopped_at, 1.5, atol=0.006)


def test_noise_never_rests():
    hot = mf.Problem(mf.CommitteeTarget(k=1), dim=20, temperature=1e-3)
    with pytest.raises(ValueError, match=r"until.*steady"):
        mf.simulate_sgd(NOISY, SEEDS, 1.0, until=U.any(U.risk_below(0.1), U.steady()))
    with pytest.raises(ValueError, match=r"until.*steady"):
        mf.solve_mean_field(hot, mf.gaussian_measure(hot, 50), 1.0, until=U.steady())


def test_langevin_dynamics_stops_at_its_steps():
    hot = mf.Problem(mf.CommitteeTarget(k=1), dim=20, temperature=1e-3)
    start = mf.gaussian_measure(hot, 500, seed=1)
    every = 0.2 * np.arange(101)
    whole = mf.solve_mean_field(hot, start, 20.0, step=0.1, save_at=every)
    level = float(np.median(whole.risk))
    run = mf.solve_mean_field(hot, start, 20.0, step=0.1, save_at=every, until=U.risk_below(level))
    first = int((whole.risk <= level).argmax())
    assert run.stopped_at == pytest.approx(every[first], rel=1e-12)
    np.testing.assert_array_equal(run.risk, whole.risk[: first + 1])


def test_fluctuations_stop_with_their_equation():
    run = mf.solve_fluctuations(NOISY, SEEDS, 30.0, until=U.risk_below(0.02), rtol=1e-8)
    ode = mf.solve_overlaps(NOISY, SEEDS, 30.0, until=U.risk_below(0.02), rtol=1e-8)
    assert run.stopped_at == pytest.approx(ode.stopped_at, rel=1e-6)
    assert len(run.observables["risk_std"]) == len(run.t)


# ---- files, checkpoints, threads, ranks


def test_how_a_run_was_stopped_is_stored(tmp_path):
    runs = [
        mf.solve_overlaps(NOISY, SEEDS, 30.0, until=U.risk_below(0.02)),
        mf.simulate_sgd(NOISY, SEEDS, 4.0, runs=3, until=U.risk_below(0.02)),
    ]
    for run in runs:
        again = mf.load(run.save(tmp_path / "run"))
        assert again == run and again.stopped_by == run.stopped_by
        np.testing.assert_array_equal(again.stopped_at, run.stopped_at)


CASES = {
    "overlaps": (mf.solve_overlaps, NOISY, SEEDS, U.any(U.steady(5e-2), U.risk_below(1e-9)), {}),
    "mean field": (mf.solve_mean_field, PROBLEM, FIELD, U.risk_below(1e-2), {}),
    "law": (mf.simulate_sgd, NOISY, SEEDS, U.risk_below(0.012), {"runs": 4}),
    "weights": (
        mf.simulate_sgd, NOISY, mf.gaussian_weights(NOISY, 2, seed=1), U.risk_below(0.012),
        {"runs": 4},
    ),
    "diffusion": (
        mf.simulate_diffusion,
        mf.Problem(
            mf.CommitteeTarget(k=1, noise=0.05), dim=50,
            learning_rate=mf.schedules.piecewise([0.0, 1.2], [1.0, 0.4]),
        ),
        SEEDS, U.risk_below(0.012), {"runs": 4},
    ),
    "langevin": (
        mf.solve_mean_field,
        mf.Problem(mf.CommitteeTarget(k=1), dim=20, temperature=1e-3),
        mf.gaussian_measure(mf.Problem(mf.CommitteeTarget(k=1), dim=20), 100, seed=1),
        U.risk_below(3.5e-3), {"step": 0.1},
    ),
}  # fmt: skip


@pytest.mark.usefixtures("interrupted_results")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("count", [3, 9])
def test_a_run_that_will_stop_goes_on_from_its_checkpoint(case, count, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "INTERVAL", 0.0)
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    monkeypatch.setattr("meanfield.dynamics.sgd.record.CALL_DURATION", 1e-4)
    solve, problem, start, until, options = CASES[case]
    asked, t_end = [], 600.0 if case == "overlaps" else 60.0

    def norm(t, state):
        asked.append(t)
        if len(asked) == count:
            raise KeyboardInterrupt
        return 0.0

    def run(**more):
        return solve(
            problem, start, t_end, save_at=np.linspace(0.0, t_end, 121), until=until,
            observables={"norm": norm}, **options, **more,
        )  # fmt: skip

    stopped = run(checkpoint=tmp_path / "run")
    assert stopped.status == "interrupted" and (tmp_path / "run").exists()
    resumed = run(checkpoint=tmp_path / "run")
    whole = run()
    assert np.all(~np.isnan(whole.stopped_at)) and whole.t[-1] < t_end
    assert resumed == whole
    assert run(threads=1) == whole
    assert whole.parameters["until"] == until.parameters()


@pytest.mark.parametrize("until", [U.risk_below(5e-3), U.steady(0.3), past])
def test_ranks_stop_together(until):
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=30)
    start = mf.parallel.draw(mf.gaussian_measure, problem, 300, seed=3)
    alone = mf.solve_mean_field(problem, start, 300.0, until=until, keep="ends")

    def solve(comm):
        part = mf.parallel.draw(mf.gaussian_measure, problem, 300, seed=3, comm=comm)
        return mf.parallel.solve_mean_field(problem, part, 300.0, comm=comm, until=until)

    for part in Team(2).run(solve):
        assert part.stopped_by == alone.stopped_by != ""
        assert part.stopped_at == pytest.approx(alone.stopped_at, rel=1e-9)


# ---- studies


def enough(t, state):
    return 0.35 - state.M[0, 0]


@pytest.mark.parametrize("description", ["overlaps", "sgd", "diffusion"])
def test_a_study_keeps_when_its_runs_stopped(description, tmp_path):
    solver = {
        "description": description, "t_end": 20.0, "save_at": 5,
        "until": {"kind": "any", "conditions": [
            {"kind": "risk_below", "level": 1e-2},
            {"kind": "function", "law": f"{__name__}:enough"},
        ]},
    }  # fmt: skip
    study = mf.Study(
        problem=NOISY,
        start={"law": "gaussian_overlaps", "p": 2},
        solver=solver,
        grid={"solver.until.conditions": [
            [{"kind": "risk_below", "level": 1e-2}], [{"kind": "risk_below", "level": 2e-2}],
            solver["until"]["conditions"],
        ]},
        seed=1,
    )  # fmt: skip
    results = study.run(store=tmp_path / "store")
    assert [record.status for record in results.records] == ["success"] * 3
    times = results.array("stopped_at")[:, 0].ravel()
    assert 0.0 < times[1] < times[0] < 20.0 and times[2] <= times[0]
    plain = mf.Study(
        problem=NOISY, start={"law": "gaussian_overlaps", "p": 2},
        solver={"description": "overlaps", "t_end": 1.0},
    )  # fmt: skip
    assert "until" not in plain.runs[0].parameters["solver"]
    again = mf.Study.from_parameters(study.parameters())
    assert again == study
    with pytest.raises(ValueError, match=r"solver.until.*level"):
        mf.Study(
            problem=NOISY, start={"law": "gaussian_overlaps", "p": 2},
            solver={"description": "overlaps", "t_end": 1.0, "until": {"kind": "risk_below"}},
        )  # fmt: skip
