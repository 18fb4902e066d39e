"""Rates that change along a run, in every description: against each other, and against theory."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import meanfield as mf
from meanfield.dynamics.rates import Alphas, RateSeries
from meanfield.dynamics.sgd.clock import Position, ScheduledSteps
from meanfield.kernels.dynamics.sgd.clock import step_times

S = mf.schedules
TARGET = mf.CommitteeTarget(k=1, noise=0.1)


def anneal(t):
    return 1.0 / (1.0 + t)


SCHEDULES = {
    "power": S.power(1.0, 1.0, onset=5.0),
    "root": S.power(1.0, 0.5, onset=2.0),
    "power of alpha": S.power(1.0, 0.7, onset=5.0, clock="alpha"),
    "exponential": S.exponential(1.0, time=5.0),
    "cosine": S.cosine(1.0, duration=4.0, final=0.1),
    "piecewise": S.piecewise([0.0, 3.0], [1.0, 0.2]),
    "piecewise in alpha": S.piecewise([0.0, 3.0], [1.0, 0.2], clock="alpha"),
    "function": S.function(anneal),
}


def make(rate, d=200, target=TARGET, **rates):
    return mf.Problem(target, dim=d, learning_rate=rate, **rates)


# ---- values


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_is_a_value(name):
    schedule = SCHEDULES[name]
    problem = make(schedule)
    from meanfield.problem import problem_from_parameters

    again = problem_from_parameters(problem.parameters())
    assert again == problem and hash(again) == hash(problem)
    assert again.learning_rate == schedule and again != make(0.5)
    x = np.linspace(0.0, 10.0, 7)
    np.testing.assert_array_equal(schedule.later(2.0)(x), schedule(x + 2.0))


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: S.power(-1.0, 1.0, 1.0), "initial"),
        (lambda: S.power(1.0, math.nan, 1.0), "exponent"),
        (lambda: S.power(1.0, 1.0, 0.0), "onset"),
        (lambda: S.exponential(1.0, math.inf), "time"),
        (lambda: S.cosine(1.0, 1.0, clock="steps"), "clock"),
        (lambda: S.piecewise([0.0, 2.0, 1.0], [1.0, 1.0, 1.0]), "times"),
        (lambda: S.piecewise([0.0, 1.0], [1.0, -1.0]), "values"),
        (lambda: S.piecewise([0.0, 1.0], [1.0]), "values"),
        (lambda: S.piecewise([1.0], [1.0]), "times"),
        (lambda: S.function(lambda t: 1.0 - t), "function"),
        (lambda: S.function(lambda t: np.where(t > 2.0, np.nan, 1.0)), "function"),
        (lambda: make({"kind": "power", "initial": 1.0, "exponent": 1.0, "onset": -1.0}), "onset"),
        (lambda: make({"kind": "linear"}), "learning_rate"),
        (lambda: make(0.1, temperature=lambda t: -t), "temperature"),
        (lambda: mf.CommitteeTarget(k=1, noise=lambda t: -t), "noise"),
    ],
)
def test_bad_schedules_are_refused_by_name(build, word):
    with pytest.raises(ValueError, match=word):
        build()


# ---- the clock


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_rate_of_each_step_is_read_where_the_steps_before_have_led(name):
    """The compiled recursion against the definition in a Python loop."""
    p, d, t_end = 3, 50, 6.0
    problem = make(SCHEDULES[name], d)
    series = RateSeries(problem, p, t_end)
    clock = ScheduledSteps(problem, p, series, np.array([t_end]), t_end)
    at, gains = Position(), []
    while True:
        after, rows = clock.ahead(at, 0, 77)
        if after == at:
            break
        gains.extend(rows[:, 0])
        at = after
    t, expected = 0.0, []
    while True:
        x = t if SCHEDULES[name].clock == "t" else len(expected) / d
        gamma = float(SCHEDULES[name](x))
        if t + gamma / (p * d) > t_end * (1.0 + 1e-12):
            break
        expected.append(gamma / p)
        t += gamma / (p * d)
    assert len(gains) == len(expected) == at.steps
    np.testing.assert_allclose(gains, expected, rtol=1e-12)
    assert at.t == pytest.approx(t, rel=1e-12)


@pytest.mark.parametrize("name", ["power", "root", "exponential", "cosine", "piecewise"])
@pytest.mark.parametrize("per", [1e-2, 1e-4, 1e-7])
def test_times_of_many_short_steps_keep_their_digits(name, per):
    """Series over many steps, over few and none, against sums in long double."""
    schedule, t, count = SCHEDULES[name], 2.93337, 5000
    gamma, times = np.empty(count), np.empty(count + 1)
    last, rest = step_times(
        schedule.code, schedule.constants, 0.0, t, 0.0, per, gamma, times
    )  # fmt: skip
    way, expected = np.longdouble(0.0), []
    for n in range(count):
        now = float(np.longdouble(t) + way)
        assert abs(times[n] - now) <= 2.0 * np.spacing(now) + 1e-14 * float(way)
        expected.append(float(schedule(now)))
        way += np.longdouble(expected[-1]) * np.longdouble(per)
    np.testing.assert_allclose(gamma, expected, rtol=1e-14)
    missed = float((np.longdouble(last) - np.longdouble(t)) + np.longdouble(rest) - way)
    assert abs(missed) < 1e-14 * float(way) + 1e-17  # a part of the spacing of times


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_do_not_depend_on_where_one_begins(name, monkeypatch):
    """A position that went through a file leads to the same steps, to the last bit."""
    monkeypatch.setattr("meanfield.dynamics.sgd.clock.BLOCK", 512)
    problem, end = make(SCHEDULES[name], 50), np.array([9.0])
    clock = ScheduledSteps(problem, 3, RateSeries(problem, 3, 9.0), end, 9.0)
    at = Position()
    for _ in range(11):
        at, _ = clock.ahead(at, 0, 71)
        later, rows = clock.ahead(at, 0, 71)
        stored = Position(*json.loads(json.dumps(at)))
        fresh = ScheduledSteps(problem, 3, RateSeries(problem, 3, 9.0), end, 9.0)
        found, again = fresh.ahead(stored, 0, 71)
        assert found[:3] == later[:3]
        np.testing.assert_array_equal(again, rows)
    assert at.steps > 512


@pytest.mark.parametrize("name", SCHEDULES)
def test_alpha_follows_from_its_equation(name):
    p, t_end = 2, 6.0
    schedule = SCHEDULES[name]
    alphas = Alphas(schedule, p, t_end)
    x = 0.4 * t_end if schedule.clock == "t" else 4.0
    if schedule.clock == "t":
        stops = [0.0, *(b for b in schedule.breaks if b < x), x]
        pieces = [_quad(lambda t: p / schedule(t), a, b) for a, b in pairwise(stops)]
        assert float(alphas(np.array(x))) == pytest.approx(sum(pieces), rel=1e-9)
    else:
        stops = [0.0, *(b for b in schedule.breaks if b < x), x]
        t = sum(_quad(lambda a: schedule(a) / p, a, b) for a, b in pairwise(stops))
        assert float(alphas(np.array(t))) == pytest.approx(x, rel=1e-9)


@pytest.mark.parametrize("name", ["number", *SCHEDULES])
def test_every_run_says_its_clock_in_samples_per_dimension_and_in_steps(name):
    """An integral against the steps that SGD counts: half a step at either end, and rounding."""
    problem = make(SCHEDULES.get(name, 0.5), 300)
    start = mf.gaussian_overlaps(problem, p=2, seed=1)
    times = [0.0, 1.0, 3.5, 6.0]
    sgd = mf.simulate_sgd(problem, start, 6.0, save_at=times)
    theory = mf.solve_overlaps(problem, start, 6.0, save_at=times)
    assert sgd.steps.dtype.kind == "i" and (np.diff(sgd.steps) > 0).all()
    np.testing.assert_array_equal(sgd.alpha, sgd.steps / 300)
    assert np.abs(theory.steps - sgd.steps).max() <= 3.0
    np.testing.assert_allclose(theory.alpha, theory.steps / 300, rtol=1e-14)


def test_what_has_no_steps_says_so():
    problem = make(0.5, 100)
    start = mf.gaussian_overlaps(problem, p=2, seed=1)
    field = mf.solve_mean_field(problem, start.measure(), 1.0, save_at=2)
    with pytest.raises(AttributeError, match="width"):
        _ = field.alpha
    flow = mf.solve_overlaps(make(0.0, 100), start, 1.0, save_at=2)
    with pytest.raises(AttributeError, match="learning_rate"):
        _ = flow.steps
    endless = mf.solve_overlaps(problem.at_dim(math.inf), start, 1.0, save_at=2)
    assert endless.alpha.tolist() == [0.0, 4.0]
    with pytest.raises(AttributeError, match="inf"):
        _ = endless.steps


def _quad(f, a, b):
    nodes, weights = np.polynomial.legendre.leggauss(60)
    x = a + (b - a) * 0.5 * (1.0 + nodes)
    return 0.5 * (b - a) * float(weights @ f(x))


# ---- the descriptions


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULES)
def test_sgd_follows_the_equations_and_comes_nearer_as_d_grows(name):
    gaps = []
    for d in (50, 800):
        problem = make(SCHEDULES[name], d)
        start = mf.Overlaps([[1.0, 0.1], [0.1, 0.8]], [[0.5], [0.4]], [[1.0]], [1.0, 1.0])
        theory = mf.solve_overlaps(problem, start, 6.0, save_at=[0.0, 3.0, 6.0])
        sgd = mf.simulate_sgd(problem, start, 6.0, runs=200, save_at=[0.0, 3.0, 6.0])
        mean, spread = sgd.risk.mean(axis=0), sgd.risk.std(axis=0) / math.sqrt(200)
        gaps.append(np.abs(mean - theory.risk)[1:] / theory.risk[1:])
        assert (np.abs(mean - theory.risk) <= 5.0 * spread + 3.0 / d * theory.risk + 1e-12).all()
    assert gaps[1].max() < 0.05


@pytest.mark.parametrize(
    "rate", ["second_layer_rate", "weight_decay", "second_layer_decay", "noise"]
)
def test_every_rate_that_changes_by_nothing_changes_nothing(rate):
    flat = S.piecewise([0.0, 1.3], [0.2, 0.2])
    constant = {"second_layer_rate": 1.0, "weight_decay": 0.1, "second_layer_decay": 0.1, rate: 0.2}
    changing = constant | {rate: flat}
    found = []
    for rates in (constant, changing):
        rates = dict(rates)
        target = mf.CommitteeTarget(k=1, noise=rates.pop("noise", 0.1))
        problem = make(0.5, 100, target, **rates)
        start = mf.gaussian_overlaps(problem, p=3, seed=2)
        ode = mf.solve_overlaps(problem, start, 3.0, save_at=4, rtol=1e-9)
        sgd = mf.simulate_sgd(problem, start, 3.0, save_at=4, runs=2)
        field = mf.solve_mean_field(problem, start.measure(), 3.0, save_at=4, rtol=1e-9)
        found.append([ode.risk, sgd.risk, field.risk])
    for one, other, tolerance in zip(*found, (1e-7, 1e-11, 1e-7), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance)


def test_a_jump_is_met_by_the_end_of_a_step():
    """A second layer freed at t = 2 is two runs, one after the other."""
    problem = make(0.0, 100, second_layer_rate=S.piecewise([0.0, 2.0], [0.0, 1.0]))
    start = mf.gaussian_overlaps(problem, p=3, seed=2)
    whole = mf.solve_overlaps(problem, start, 4.0, save_at=[0.0, 2.0, 4.0], rtol=1e-10)
    first = mf.solve_overlaps(make(0.0, 100), start, 2.0, rtol=1e-10)
    second = mf.solve_overlaps(make(0.0, 100, second_layer_rate=1.0), first.final, 2.0, rtol=1e-10)
    assert whole.risk[1] == pytest.approx(first.risk[-1], rel=1e-8)
    assert whole.risk[2] == pytest.approx(second.risk[-1], rel=1e-8)


def test_label_noise_is_annealed_away_with_the_constant_of_the_theory():
    """For γ = c/(1 + t/t₀) the risk falls like 1/t, with the constant of the law near the minimum.

    There a coordinate δ of w/√d of curvature H obeys dE δ²/dt = −2H E δ² + γ Δ H/d at p = 1,
    so that R = ½ Σ H E δ² → γ Δ H/4, H = E σ'² = 2/(π√3) for erf in all directions but one.
    """
    c, onset, noise, t_end = 0.5, 4.0, 0.2, 400.0
    target = mf.CommitteeTarget(k=1, noise=noise)
    start = mf.Overlaps([[1.0]], [[0.9]], [[1.0]], [1.0])
    constant = noise * 2.0 / (math.pi * math.sqrt(3.0)) / 4.0
    problem = make(S.power(c, 1.0, onset=onset), 1000, target)
    found = mf.solve_overlaps(problem, start, t_end, save_at=[0.0, t_end])
    assert found.risk[-1] * t_end == pytest.approx(c * onset * constant, rel=0.02)
    floor = mf.solve_overlaps(make(0.02, 1000, target), start, 100.0, save_at=2).risk[-1]
    assert floor == pytest.approx(0.02 * constant, rel=0.02)


H = 2.0 / (math.pi * math.sqrt(3.0))  # E σ'² of an erf unit


def by_samples(rate, alpha, moved):
    """R and t of one neuron near its minimum after α samples per dimension, t = ∫γ dα = moved."""
    target = mf.CommitteeTarget(k=1, noise=0.2)
    start = mf.Overlaps([[1.0]], [[0.9]], [[1.0]], [1.0])
    # on the sphere, for along w itself σ'² averages to H/3: that would forget thrice as slowly
    run = mf.solve_overlaps(
        make(rate, 1000, target), start, moved, save_at=[0.0, moved], spherical=True
    )
    assert run.alpha[-1] == pytest.approx(alpha, rel=1e-6)
    return run.risk[-1]


@pytest.mark.parametrize("c", [0.75, 1.0, 2.0])
def test_a_rate_of_one_over_alpha_has_the_constant_of_stochastic_approximation(c):
    """dE δ²/dα = γ(−2H E δ² + γ Δ H/d) with γ = c/(H α): R α → ½Δ c²/(2c − 1), best at c = 1.

    There it is ½Δ, the risk ½Δ d/n of an efficient estimator of d weights from n samples.
    """
    initial, alpha = 0.5, 1e5
    onset = c / (H * initial)
    rate = S.power(initial, 1.0, onset=onset, clock="alpha")
    risk = by_samples(rate, alpha, initial * onset * math.log1p(alpha / onset))
    expected = 0.5 * 0.2 * c**2 / (2.0 * c - 1.0)
    assert risk * alpha == pytest.approx(expected, rel=0.02)
    assert expected >= 0.5 * 0.2


def test_slower_rates_follow_their_floor_and_faster_ones_stall():
    """α^(−½): R → γΔH/4, as α^(−½). α^(−3/2): Σγ is finite, and the start is never forgotten."""
    initial, onset = 0.5, 4.0
    alpha = 1e5
    root = S.power(initial, 0.5, onset=onset, clock="alpha")
    moved = 2.0 * initial * onset * (math.sqrt(1.0 + alpha / onset) - 1.0)
    floor = float(root(alpha)) * 0.2 * H / 4.0
    assert by_samples(root, alpha, moved) == pytest.approx(floor, rel=0.02)
    fast = S.power(initial, 1.5, onset=onset, clock="alpha")
    risks = []
    for a in (1e4, 1e5):
        moved = 2.0 * initial * onset * (1.0 - 1.0 / math.sqrt(1.0 + a / onset))
        risks.append(by_samples(fast, a, moved))
    assert risks[1] == pytest.approx(risks[0], rel=0.05) and risks[1] > 10.0 * float(fast(1e5))


def test_sgd_differs_from_the_equations_by_one_over_d_along_a_schedule():
    dims, gaps, errors = np.array([15, 30, 60]), [], []
    start = mf.Overlaps([[1.0, 0.1], [0.1, 0.8]], [[0.5], [0.4]], [[1.0]], [1.0, 1.0])
    for d in dims.tolist():
        problem = make(S.power(3.0, 1.0, onset=3.0), d)
        sgd = mf.simulate_sgd(problem, start, 2.0, runs=20_000, save_at=[0.0, 2.0], seed=d)
        theory = mf.solve_overlaps(problem, start, float(sgd.t[-1]), save_at=2)
        gaps.append(float(sgd.risk[:, -1].mean() - theory.risk[-1]))
        errors.append(float(sgd.risk[:, -1].std()) / math.sqrt(20_000))
    relative = np.array(errors) / np.abs(gaps)
    assert (relative < 0.3).all()
    slope, covariance = np.polyfit(
        np.log(dims), np.log(np.abs(gaps)), 1, w=1.0 / relative, cov="unscaled"
    )
    assert abs(slope[0] + 1.0) < 3.0 * math.sqrt(covariance[0, 0]) < 1.0


def test_a_temperature_follows_its_schedule():
    """Without a field E|w|²/d obeys dE/dt = −2λE + 2τ(t)d; here the field is nearly nothing."""
    target = mf.CommitteeTarget(k=1, weights=[1e-9])
    tau = S.exponential(0.05, time=1.0)
    problem = mf.Problem(target, dim=20, temperature=tau, weight_decay=0.5)
    start = mf.gaussian_measure(problem, 4000, seed=1)
    start = mf.ParticleMeasure(np.zeros(start.n), start.u, start.r)
    run = mf.solve_mean_field(problem, start, 2.0, save_at=[0.0, 2.0], step=0.01)
    size = [(s.u**2).sum(axis=1) + s.r**2 for s in (run.states[0], run.final)]
    exact = solve_ivp(
        lambda t, E: -E + 2.0 * 20 * tau(t), (0.0, 2.0), [size[0].mean()], rtol=1e-8
    ).y[0, -1]
    assert size[1].mean() == pytest.approx(exact, abs=4.0 * size[1].std() / math.sqrt(4000))


# ---- what is only met later


def worse(t):
    return np.where(t > 1e4, -1.0, 1.0)


def test_a_clock_that_stands_still_is_a_status():
    problem = make(S.piecewise([0.0, 2.0], [1.0, 0.0]))
    start = mf.gaussian_overlaps(problem, p=2, seed=1)
    run = mf.simulate_sgd(problem, start, 4.0, save_at=[0.0, 1.0, 4.0])
    assert run.status == "invalid" and "learning_rate" in run.message
    assert run.t.tolist() == [0.0, pytest.approx(1.0)]


def test_what_a_schedule_says_within_the_run_is_looked_at_before_it():
    problem = make(S.function(worse))
    start = mf.gaussian_overlaps(problem, p=2, seed=1)
    with pytest.raises(ValueError, match="learning_rate"):
        mf.solve_overlaps(problem, start, 2e4)
    with pytest.raises(ValueError, match="'t'"):
        mf.solve_mean_field(
            make(0.1, weight_decay=S.power(1.0, 1.0, 1.0, clock="alpha")), start.measure(), 1.0
        )


def narrow(t):
    return np.where(np.abs(t - 1.23456) < 4e-5, np.nan, 1.0)


def test_a_bad_value_met_in_the_run_is_a_status_with_what_was_computed():
    problem = make(S.function(narrow))
    start = mf.gaussian_overlaps(problem, p=2, seed=1)
    run = mf.simulate_sgd(problem.at_dim(20_000), start, 2.0, save_at=[0.0, 1.0, 2.0])
    assert run.status == "invalid" and len(run.t) == 2


@pytest.mark.usefixtures("interrupted_results")
def test_threads_and_checkpoints_leave_the_numbers_alone(tmp_path, monkeypatch):
    problem = make(SCHEDULES["power"])
    start = mf.gaussian_overlaps(problem, p=2, seed=1)
    whole = mf.simulate_sgd(problem, start, 5.0, runs=3, save_at=6)
    again = mf.simulate_sgd(problem, start, 5.0, runs=3, save_at=6, threads=1)
    assert again == whole
    monkeypatch.setattr("meanfield.dynamics.sgd.record.CALL_DURATION", 1e-5)
    calls = 0

    def stop(t, state):
        nonlocal calls
        calls += 1
        if calls == 10:
            raise KeyboardInterrupt
        return 0.0

    path, observed = tmp_path / "run", {"stop": stop}
    first = mf.simulate_sgd(
        problem, start, 5.0, runs=3, save_at=6, checkpoint=path, observables=observed
    )
    assert first.status == "interrupted" and path.exists()
    rest = mf.simulate_sgd(
        problem, start, 5.0, runs=3, save_at=6, checkpoint=path, observables=observed
    )
    np.testing.assert_array_equal(rest.risk, whole.risk)
    np.testing.assert_array_equal(rest.t, whole.t)


def test_a_grid_of_a_study_sets_a_part_of_a_schedule():
    rate = {"kind": "power", "initial": 1.0, "exponent": 1.0, "onset": 2.0}
    study = mf.Study(
        problem={"target": {"k": 1}, "dim": 100, "learning_rate": rate},
        start={"law": "gaussian_overlaps", "p": 2},
        solver={"description": "overlaps", "t_end": 1.0},
        grid={"problem.learning_rate.exponent": [0.5, 1.0]},
    )
    results = study.run()
    assert [record.status for record in results.records] == ["success", "success"]


def test_a_study_finds_a_function_by_its_name():
    study = mf.Study(
        problem=make(S.function(anneal), 100),
        start={"law": "gaussian_overlaps", "p": 2},
        solver={"description": "overlaps", "t_end": 1.0},
    )
    assert study.run().records[0].status == "success"


def test_what_needs_numbers_refuses_a_schedule_by_name():
    problem = make(SCHEDULES["power"])
    start = mf.gaussian_overlaps(problem, p=2, seed=1)
    for call in (
        lambda: mf.find_stationary(problem, start),
        lambda: mf.regimes.diagnose(problem, width=2),
    ):
        with pytest.raises(ValueError, match="learning_rate"):
            call()
