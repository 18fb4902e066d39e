"""A learning rate that falls with the gradients that a run has met: AdaGrad-norm."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import meanfield as mf
from meanfield.dynamics.sgd.runs import LawRuns, WeightsRuns, make_step, make_streams
from meanfield.kernels.dynamics.sgd import law as sgd_law
from meanfield.kernels.dynamics.sgd import random as sgd_random
from meanfield.kernels.dynamics.sgd.pace import Pace
from meanfield.problem import problem_from_parameters
from tests.reference import sgd as twin

S = mf.schedules
RATE = S.adagrad_norm(1.0, 0.7)
TARGET = mf.CommitteeTarget(k=1, noise=0.1)
START = mf.Overlaps([[1.0, 0.1], [0.1, 0.8]], [[0.5], [0.4]], [[1.0]], [1.0, 1.2])


def make(rate=RATE, d=200, target=TARGET, **rates):
    return mf.Problem(target, dim=d, learning_rate=rate, **rates)


def gamma_of(S_sum):
    return RATE.rate / math.sqrt(RATE.b**2 + S_sum)


# ---- a value


def test_it_is_a_value():
    problem = make()
    again = problem_from_parameters(problem.parameters())
    assert again == problem and hash(again) == hash(problem)
    assert again != make(S.adagrad_norm(1.0, 0.8)) and again != make(1.0)
    assert problem.parameters()["learning_rate"] == {"kind": "adagrad_norm", "rate": 1.0, "b": 0.7}
    assert repr(RATE).startswith("AdagradNorm(") and RATE.later(3.0) == RATE


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: S.adagrad_norm(0.0, 1.0), "rate"),
        (lambda: S.adagrad_norm(1.0, 0.0), "b"),
        (lambda: S.adagrad_norm(1e300, 1e-300), "rate/b"),
        (lambda: make({"kind": "adagrad_norm", "rate": 1.0, "b": -1.0}), "learning_rate: b"),
        (lambda: make({"kind": "adagrad_norm", "rate": 1.0, "b": 1.0, "offset": 1.0}), "clock"),
        (lambda: make(0.1, weight_decay=RATE), "weight_decay"),
        (lambda: mf.CommitteeTarget(k=1, noise=RATE), "noise"),
        (lambda: mf.solve_fluctuations(make(), START, 1.0), "learning_rate"),
        (lambda: mf.find_stationary(make(), START), "learning_rate"),
        (lambda: mf.regimes.diagnose(make(), width=2), "learning_rate"),
        (
            lambda: mf.simulate_sgd(make(weight_decay=S.power(0.1, 1.0, 1.0)), START, 1.0),
            "constant weight_decay",
        ),
        (
            lambda: mf.solve_overlaps(
                make(weight_decay=S.power(0.1, 1.0, 1.0, clock="alpha")), START, 1.0
            ),
            "weight_decay by the clock 't'",
        ),
        (lambda: mf.simulate_sgd(make(d=3), START, 0.1), "t_end"),
        (
            lambda: mf.simulate_sgd(make(), START, 1.0, until=mf.until.risk_below(0.01)),
            "until must be None",
        ),
    ],
)
def test_what_it_cannot_be_is_refused_by_name(build, word):
    with pytest.raises(ValueError, match=word):
        build()


def test_it_has_no_values_without_a_run():
    with pytest.raises(TypeError, match="gradients"):
        RATE(1.0)


# ---- step by step


def far(problem, p):
    return Pace(RATE.b**2, RATE.first / (p * problem.dim), 1e9, 1e9)


@pytest.mark.parametrize(("batch", "spherical"), [(1, False), (3, False), (3, True)])
def test_three_steps_in_r_d_are_the_twins(batch, spherical):
    d, p = 12, 3
    problem = make(d=d, second_layer_rate=2.0, weight_decay=1.0, second_layer_decay=0.5)
    start = mf.gaussian_weights(problem, p, scale=0.8, seed=5)
    step = make_step(problem, p, batch, spherical)
    run = WeightsRuns(problem, start, step, make_streams(7, 1), "Weights")
    W, a, s, total, t = run.W[0].copy(), start.a, words(7), 0.0, 0.0
    for _ in range(3):
        X, xi = np.empty(batch * d), np.empty(batch)
        s = sgd_random.fill_normals(stream(sgd_random.fill_normals(stream(s), X)), xi)
        X, gamma = X.reshape(batch, d), gamma_of(total)
        now = problem.at_rates(learning_rate=gamma)
        total += twin.squared_gradient(now, W, start.W_star, a, X, xi)
        W, a = twin.step(now, W, start.W_star, a, X, xi, spherical=spherical)
        t += gamma / (p * d)
    assert run.advance(3, pace=far(problem, p)).tolist() == [3]
    fields, _ = run.record()
    np.testing.assert_allclose(fields["W"][0], W, rtol=0, atol=1e-10)
    np.testing.assert_allclose(fields["a"][0], a, rtol=1e-10)
    np.testing.assert_allclose(run.own[0], [t, run.own[0, 1], total, 3.0], rtol=1e-9)


@pytest.mark.parametrize(("batch", "outside"), [(1, 9), (3, 9), (3, 1)])
def test_three_steps_of_the_chain_are_the_twins(batch, outside):
    p, k = 3, 1
    d = k + p + outside
    problem = make(d=d, second_layer_rate=1.0)
    start = mf.gaussian_overlaps(make(d=30), p, scale=0.8, seed=5)
    run = LawRuns(problem, start, make_step(problem, p, batch, False), make_streams(8, 1))
    s, a, total = words(8), start.a, 0.0
    for _ in range(3):
        extra = max(1, min(batch, outside))
        Z, H, xi = np.zeros((batch, k)), np.zeros((batch, p + extra)), np.empty(batch)
        s = sgd_law.draw_batch(stream(s), p, float(outside), Z, H)
        s = sgd_random.fill_normals(stream(s), xi)
        W = np.concatenate((run.u[0], run.T[0, :p].T, np.zeros((p, extra))), axis=1) * math.sqrt(d)
        W_star = np.concatenate((problem.target.basis, np.zeros((k, p + extra))), axis=1)
        W_star, X = W_star * math.sqrt(d), np.concatenate((Z, H), axis=1)
        now = problem.at_rates(learning_rate=gamma_of(total))
        total += twin.squared_gradient(now, W, W_star, a, X, xi, norm=d)
        W, a = twin.step(now, W, W_star, a, X, xi, norm=d)
        run.advance(1, pace=far(problem, p))
        fields = run.record()[0]
        np.testing.assert_allclose(fields["Q"][0], W @ W.T / d, rtol=0, atol=1e-9)
        np.testing.assert_allclose(fields["a"][0], a, rtol=1e-9)
        np.testing.assert_allclose(run.own[0, 2], total, rtol=1e-8)


def test_a_clock_that_stands_still_is_marked():
    problem = make()
    run = LawRuns(problem, START, make_step(problem, 2, 1, False), make_streams(8, 1))
    run.own[0] = [1.0, 0.0, 1e300, 7.0]
    assert run.advance(5, pace=far(problem, 2)).tolist() == [0]
    assert run.own[0].tolist() == [1.0, 0.0, math.inf, 7.0]


def words(seed):
    return make_streams(seed, 1)[0]


def stream(s):
    return tuple(np.uint64(word) for word in s)


def test_each_run_is_recorded_at_its_step_nearest_to_the_time():
    """Saved at single times of a run's own clock, no state is more than half a step away."""
    problem = make(d=30)
    times = np.linspace(0.0, 2.0, 9)
    sol = mf.simulate_sgd(problem, START, 2.0, runs=8, save_at=times)
    assert sol.t.tolist() == times.tolist() and sol.steps.shape == (8, 9)
    fine = mf.simulate_sgd(problem, START, 2.0, runs=8, save_at=np.linspace(0.0, 2.0, 4001))
    for run in range(8):
        made, first = np.unique(fine.steps[run], return_index=True)
        gamma = fine.observables["learning_rate"][run, first]
        clock = np.concatenate(([0.0], np.cumsum(gamma) / (2 * 30)))[: len(made)]
        np.testing.assert_array_equal(made, np.arange(len(made)))
        gaps = np.abs(clock[sol.steps[run]] - times)
        nearest = np.abs(clock[:, None] - times).min(axis=0)
        np.testing.assert_allclose(gaps[:-1], nearest[:-1], atol=1e-12)
        assert clock[sol.steps[run, -1]] <= 2.0 + 1e-9


# ---- against the equations, and these against their other form


CASES = {
    "closed": {},
    "second layer": {"second_layer_rate": 1.0},
    "sphere": {"spherical": True},
    "batch": {"batch_size": 3},
    "temperature": {"temperature": 0.001, "weight_decay": 0.2},
    "sampled": {"activation": "tanh", "samples": 256},
}


@pytest.mark.parametrize("name", CASES)
def test_the_equations_in_s_are_the_equations_in_gamma(name):
    """dS/dt = Σ_i ⟨C_i²⟩/γ with the averages read off the velocity at two constant γ."""
    options = dict(CASES[name])
    solver = {k: options.pop(k) for k in ("spherical", "batch_size", "samples") if k in options}
    problem, p = make(**options), START.p
    spherical, batch = solver.get("spherical", False), solver.get("batch_size", 1)
    start = START
    if spherical:
        length = np.sqrt(np.diag(START.Q))
        start = mf.Overlaps(
            START.Q / np.outer(length, length), START.M / length[:, None], START.P, START.a
        )

    def velocity(t, y):
        Q, M, a = y[:4].reshape(2, 2), y[4:6].reshape(2, 1), y[6:8]
        state = mf.Overlaps(0.5 * (Q + Q.T), M, START.P, a)
        gamma = gamma_of(y[8])
        at = [problem.at_rates(learning_rate=rate) for rate in (gamma, 1e-300)]
        dQ, dM, da = mf.overlap_velocity(at[0], state, **solver)
        free = {**solver, "spherical": False}
        sums = [np.trace(mf.overlap_velocity(each, state, **free).Q) for each in at]
        squares = (sums[0] - sums[1]) * p / gamma  # Σ⟨C²⟩ over the batch
        return np.concatenate((dQ.ravel(), dM.ravel(), da, [squares / gamma, p / gamma]))

    y0 = np.concatenate((start.Q.ravel(), start.M.ravel(), start.a, [0.0, 0.0]))
    slow = solve_ivp(velocity, (0.0, 2.0), y0, rtol=1e-9, atol=1e-11).y[:, -1]
    fast = mf.solve_overlaps(problem, START, 2.0, save_at=[0.0, 2.0], rtol=1e-9, **solver)
    np.testing.assert_allclose(fast.final.Q.ravel(), slow[:4], rtol=1e-7)
    np.testing.assert_allclose(fast.final.a, slow[6:8], rtol=1e-7)
    gamma = fast.observables["learning_rate"]
    np.testing.assert_allclose(gamma, [RATE.first, gamma_of(slow[8])], rtol=1e-7)
    np.testing.assert_allclose(fast.alpha, [0.0, slow[9]], rtol=1e-7)
    np.testing.assert_allclose(fast.steps, fast.alpha * 200, rtol=1e-14)
    assert gamma[1] < 0.95 * gamma[0] or batch > 1


@pytest.mark.parametrize("kind", ["weights", "law", "batch"])
def test_sgd_follows_the_equations_and_comes_nearer_as_d_grows(kind):
    """Risk, γ and α differ by O(1/d), and γ scatters over the runs as 1/√d."""
    options = {"batch_size": 3 if kind == "batch" else 1}
    theory = mf.solve_overlaps(make(), START, 6.0, save_at=4, **options)
    gamma = theory.observables["learning_rate"]
    gaps, scatter, sizes = [], [], (50, 400) if kind == "law" else (50, 200)
    for d, runs in zip(sizes, (1000, 300), strict=True):
        problem = make(d=d)
        start = START if kind != "weights" else START.weights(problem)
        keep = {"keep": "overlaps"} if kind == "weights" else {}
        sgd = mf.simulate_sgd(problem, start, 6.0, runs=runs, save_at=4, **options, **keep)
        for found, expected, most in (
            (sgd.risk, theory.risk, 3.0),
            (sgd.observables["learning_rate"], gamma, 0.5),
            (sgd.alpha, theory.alpha, 0.5),
        ):
            error = found.std(axis=0) / math.sqrt(runs)
            gap = np.abs(found.mean(axis=0) - expected)
            assert (gap <= 4.5 * error + most / d * expected + 1e-12).all()
        gaps.append(abs(sgd.observables["learning_rate"][:, -1].mean() / gamma[-1] - 1.0))
        scatter.append(sgd.observables["learning_rate"][:, -1].std())
    slope = np.polyfit(np.log(sizes), np.log(scatter), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.1)
    assert gaps[-1] < gaps[0] / 2 + 1e-3 and gamma[-1] < 0.9 * gamma[0]


def test_far_above_the_sum_b_leaves_a_constant_rate():
    large, constant = make(S.adagrad_norm(0.5e6, 1e6)), make(0.5)
    for solve in (mf.solve_overlaps, mf.simulate_sgd):
        adaptive = solve(large, START, 3.0, save_at=4)
        plain = solve(constant, START, 3.0, save_at=4)
        np.testing.assert_allclose(adaptive.risk, plain.risk, rtol=1e-6)
        np.testing.assert_allclose(adaptive.steps.ravel(), plain.steps, rtol=1e-6)
        np.testing.assert_allclose(adaptive.observables["learning_rate"], 0.5, rtol=1e-9)


def test_infinitely_many_neurons_do_not_see_it():
    start = START.measure()
    adaptive, plain = (
        mf.solve_mean_field(make(rate), start, 2.0, save_at=3) for rate in (RATE, 0.3)
    )
    np.testing.assert_array_equal(adaptive.risk, plain.risk)
    flow = mf.solve_overlaps(make(), START, 2.0, save_at=3, sgd_noise=False)
    np.testing.assert_allclose(
        flow.risk, mf.solve_overlaps(make(0.0), START, 2.0, save_at=3).risk, rtol=1e-12
    )
    with pytest.raises(AttributeError, match="adagrad_norm"):
        _ = flow.alpha


# ---- the house


@pytest.mark.usefixtures("interrupted_results")
@pytest.mark.parametrize("kind", ["weights", "law"])
def test_threads_runs_calls_and_interruptions_leave_the_numbers_alone(kind, tmp_path, monkeypatch):
    problem = make(d=40)
    start = START if kind == "law" else START.weights(problem)
    whole = mf.simulate_sgd(problem, start, 5.0, runs=3, save_at=6)
    assert mf.simulate_sgd(problem, start, 5.0, runs=3, save_at=6, threads=1) == whole
    one = mf.simulate_sgd(problem, start, 5.0, runs=1, save_at=[0.0, 5.0])
    assert one.risk[0].tolist() == whole.risk[0, [0, -1]].tolist()
    monkeypatch.setattr("meanfield.dynamics.sgd.record.CALL_DURATION", 1e-5)
    calls = 0

    def stop(t, state):
        nonlocal calls
        calls += 1
        if calls == 10:
            raise KeyboardInterrupt
        return 0.0

    path, observed = tmp_path / "run", {"stop": stop}
    options = {"runs": 3, "save_at": 6, "checkpoint": path, "observables": observed}
    first = mf.simulate_sgd(problem, start, 5.0, **options)
    assert first.status == "interrupted" and path.exists() and len(first.t) == 3
    rest = mf.simulate_sgd(problem, start, 5.0, **options)
    np.testing.assert_array_equal(rest.risk, whole.risk)
    np.testing.assert_array_equal(rest.steps, whole.steps)
    assert rest.final == whole.final


def test_the_equations_go_on_from_a_checkpoint_to_the_last_bit(tmp_path):
    whole = mf.solve_overlaps(make(), START, 5.0, save_at=6)
    seen = 0

    def stop(t, state):
        nonlocal seen
        seen += 1
        if seen == 4:
            raise KeyboardInterrupt
        return 0.0

    options = {"save_at": 6, "checkpoint": tmp_path / "run", "observables": {"stop": stop}}
    with mf.return_on_interrupt():
        assert mf.solve_overlaps(make(), START, 5.0, **options).status == "interrupted"
    rest = mf.solve_overlaps(make(), START, 5.0, **options)
    np.testing.assert_array_equal(rest.risk, whole.risk)
    np.testing.assert_array_equal(rest.alpha, whole.alpha)


def test_the_equations_stop_at_a_condition():
    run = mf.solve_overlaps(make(), START, 6.0, save_at=4, until=mf.until.risk_below(0.03))
    assert run.stopped_at < 4.0 and run.risk[-1] == pytest.approx(0.03, rel=1e-6)
    assert len(run.alpha) == len(run.observables["learning_rate"]) == len(run.t)


def test_going_on_is_refused_where_the_sum_is_lost():
    run = mf.solve_overlaps(make(), START, 1.0, save_at=2)
    plain = mf.solve_overlaps(make(0.5), START, 1.0, save_at=2)
    for before, problem in ((run, make(0.5)), (plain, make())):
        with pytest.raises(ValueError, match="adagrad_norm"):
            before.then(problem, 2.0)
    b = RATE.rate / run.observables["learning_rate"][-1]
    rest = mf.solve_overlaps(make(S.adagrad_norm(1.0, b)), run.final, 1.0, save_at=2)
    whole = mf.solve_overlaps(make(), START, 2.0, save_at=2)
    assert rest.risk[-1] == pytest.approx(whole.risk[-1], rel=1e-5)
    field = mf.solve_mean_field(make(), START.measure(), 1.0, save_at=2)
    assert field.then(make(0.5), 2.0, save_at=2).success


def test_solutions_are_stored_and_handed_on(tmp_path):
    for run in (
        mf.solve_overlaps(make(), START, 1.0, save_at=3),
        mf.simulate_sgd(make(), START, 1.0, save_at=3, runs=2),
    ):
        again = mf.load(run.save(tmp_path / "run.meanfield"))
        assert again == run
        np.testing.assert_array_equal(again.alpha, run.alpha)
        run.plot()


@pytest.mark.extra
def test_the_learning_rate_has_named_dimensions():
    pytest.importorskip("xarray", reason="the extra xarray is not installed")
    for run in (
        mf.solve_overlaps(make(), START, 1.0, save_at=3),
        mf.simulate_sgd(make(), START, 1.0, save_at=3, runs=2),
    ):
        assert "learning_rate" in run.to_xarray()


def test_a_run_that_overflows_says_so():
    """Errors are finite here, but the sum of squared gradients is not."""
    target = mf.CommitteeTarget(k=1, activation="square")
    problem = mf.Problem(target, "square", 20, S.adagrad_norm(1.0, 1.0))
    start = mf.Overlaps([[1e149]], [[0.0]], [[1.0]], [1.0])
    run = mf.simulate_sgd(problem, start, 1.0, save_at=3)
    assert run.status == "diverged" and "run 0" in run.message and run.t.tolist() == [0.0]


def test_a_grid_of_a_study_sets_a_part_of_it():
    study = mf.Study(
        problem={
            "target": {"k": 1}, "dim": 100,
            "learning_rate": {"kind": "adagrad_norm", "rate": 1.0, "b": 1.0},
        },
        start={"law": "gaussian_overlaps", "p": 2},
        solver={"description": "overlaps", "t_end": 1.0},
        grid={"problem.learning_rate.b": [0.5, 1.0]},
    )  # fmt: skip
    results = study.run()
    assert [record.status for record in results.records] == ["success", "success"]
