"""Gradients that are clipped by their norm, in SGD and in the overlap equations."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

import meanfield as mf
from meanfield.dynamics.overlaps.clipping import cut_off
from meanfield.dynamics.sgd.runs import LawRuns, WeightsRuns, WideRuns, make_step, make_streams
from meanfield.kernels.dynamics.sgd import law as sgd_law
from meanfield.kernels.dynamics.sgd import random as sgd_random
from meanfield.problem import problem_from_parameters
from tests.reference import overlaps as overlap_twin
from tests.reference import sgd as twin

S = mf.schedules
CLIP = 0.2
TARGET = mf.CommitteeTarget(k=1, noise=0.1)
START = mf.Overlaps([[1.0, 0.1], [0.1, 0.8]], [[0.5], [0.4]], [[1.0]], [1.0, 1.2])


def make(clip_norm=CLIP, d=200, target=TARGET, **rates):
    return mf.Problem(target, dim=d, clip_norm=clip_norm, **({"learning_rate": 0.7} | rates))


# ---- a value


def test_it_is_a_part_of_a_problem():
    problem = make()
    again = problem_from_parameters(problem.parameters())
    assert again == problem and hash(again) == hash(problem)
    assert again != make(0.3) and again != make(math.inf)
    assert make(math.inf) == mf.Problem(TARGET, dim=200, learning_rate=0.7)
    assert "clip_norm" not in make(math.inf).parameters()
    assert "clip norm" in problem._repr_html_() and "clip norm" not in make(math.inf)._repr_html_()


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: make(0.0), "clip_norm"),
        (lambda: make(-1.0), "clip_norm"),
        (lambda: make(math.nan), "clip_norm"),
        (lambda: make(learning_rate=S.adagrad_norm(1.0, 1.0)), "clip_norm .* adagrad_norm"),
        (lambda: mf.solve_mean_field(make(), START.measure(), 1.0), "clip_norm"),
        (lambda: mf.mean_field_velocity(make(), START.measure()), "clip_norm"),
        (lambda: mf.solve_fluctuations(make(), START, 1.0), "clip_norm"),
        (lambda: mf.solve_risk_band(make(), START, 1.0), "clip_norm"),
        (lambda: mf.simulate_diffusion(make(), START, 1.0), "clip_norm"),
        (lambda: mf.find_stationary(make(), START), "clip_norm"),
        (lambda: mf.regimes.diagnose(make(), width=2), "clip_norm"),
        (lambda: mf.regimes.budget(make(), width=2, t_end=1.0), "clip_norm"),
        (lambda: mf.solve_overlaps(make(), START, 1.0, batch_size=2000), "batch_size"),
    ],
)
def test_what_knows_no_clipped_gradients_refuses_them_by_name(build, word):
    with pytest.raises(ValueError, match=word):
        build()


def test_it_is_a_number():
    with pytest.raises(TypeError, match="clip_norm"):
        make(S.power(1.0, 1.0, 1.0))


# ---- step by step


@pytest.mark.parametrize(
    ("clip_norm", "batch", "spherical", "p", "d"),
    [(0.5, 1, False, 3, 12), (0.18, 3, True, 3, 12), (0.3, 1, False, 24, 3)],
)
def test_three_steps_in_r_d_are_the_twins(clip_norm, batch, spherical, p, d):
    problem = make(clip_norm, d=d, second_layer_rate=2.0, second_layer_decay=0.5)
    start = mf.gaussian_weights(problem, p, scale=0.8, seed=5)
    step = make_step(problem, p, batch, spherical)
    kind = WideRuns if WideRuns.suits(problem, step, p) else WeightsRuns
    run = kind(problem, start, step, make_streams(7, 1), "Weights")
    assert (kind is WideRuns) == (d == 3)
    W, a, s = run.weights()[0].copy(), start.a, make_streams(7, 1)[0]
    norms = []
    for _ in range(3):
        X, xi = np.empty(batch * d), np.empty(batch)
        s = sgd_random.fill_normals(stream(sgd_random.fill_normals(stream(s), X)), xi)
        X = X.reshape(batch, d)
        norms.append(math.sqrt(d * twin.squared_gradient(problem, W, start.W_star, a, X, xi)))
        W, a = twin.step(problem, W, start.W_star, a, X, xi, spherical=spherical)
        run.advance(1)
    fields, _ = run.record()
    np.testing.assert_allclose(fields["W"][0], W, rtol=0, atol=1e-9)
    np.testing.assert_allclose(fields["a"][0], a, rtol=1e-9)
    assert min(norms) < clip_norm < max(norms)


@pytest.mark.parametrize("batch", [1, 3])
def test_three_steps_of_the_chain_are_the_twins(batch):
    p, k, outside = 3, 1, 9
    d = k + p + outside
    problem = make(d=d, second_layer_rate=1.0)
    start = mf.gaussian_overlaps(make(d=30), p, scale=0.8, seed=5)
    run = LawRuns(problem, start, make_step(problem, p, batch, False), make_streams(8, 1))
    s, a = make_streams(8, 1)[0], start.a
    for _ in range(3):
        Z, H, xi = np.zeros((batch, k)), np.zeros((batch, p + batch)), np.empty(batch)
        s = sgd_law.draw_batch(stream(s), p, float(outside), Z, H)
        s = sgd_random.fill_normals(stream(s), xi)
        S_now = np.concatenate((run.T[0, :p].T, np.zeros((p, batch))), axis=1)
        W = np.concatenate((run.u[0], S_now), axis=1) * math.sqrt(d)
        W_star = np.concatenate((problem.target.basis, np.zeros((k, p + batch))), axis=1)
        W_star, X = W_star * math.sqrt(d), np.concatenate((Z, H), axis=1)
        W, a = twin.step(problem, W, W_star, a, X, xi, norm=d)
        run.advance(1)
        fields = run.record()[0]
        np.testing.assert_allclose(fields["Q"][0], W @ W.T / d, rtol=0, atol=1e-9)
        np.testing.assert_allclose(fields["a"][0], a, rtol=1e-9)


def stream(s):
    return tuple(np.uint64(word) for word in s)


def test_every_step_of_normalised_sgd_has_the_same_length():
    """|ΔW|² = (γ c)²/p where every gradient is longer than c."""
    problem = make(1e-4, d=50)
    start = mf.gaussian_weights(problem, 3, seed=1)
    run = mf.simulate_sgd(problem, start, 20 * 0.7 / 150, save_at=21)
    W = run.states.varying["W"][0]
    lengths = np.sqrt((np.diff(W, axis=0) ** 2).sum(axis=(1, 2)))
    np.testing.assert_allclose(lengths, 0.7 * 1e-4 / math.sqrt(3), rtol=1e-9)


# ---- the averages


@pytest.mark.parametrize("mean", [-0.7, 0.0, 0.4])
@pytest.mark.parametrize("deviation", [0.0, 0.01, 0.5, 3.0])
@pytest.mark.parametrize("bound", [1e-3, 0.4, 2.0, 1e150])
def test_a_gaussian_that_is_cut_off(mean, deviation, bound):
    first, second = (float(x[0]) for x in cut_off(np.array([mean]), np.array([bound]), deviation))
    if deviation == 0.0:
        assert (first, second) == (max(-bound, min(bound, mean)), min(mean**2, bound**2))
        return
    ends = [x for x in (-bound, bound) if abs(x - mean) < 12 * deviation]

    def average(power):
        return quad(
            lambda x: max(-bound, min(bound, x)) ** power * norm.pdf(x, mean, deviation),
            mean - 12 * deviation, mean + 12 * deviation, points=ends or None, epsabs=1e-13,
        )[0]  # fmt: skip

    assert first == pytest.approx(average(1), rel=1e-9, abs=1e-12)
    assert second == pytest.approx(average(2), rel=1e-9, abs=1e-12)


RELU = mf.CommitteeTarget(k=1, activation="relu", noise=0.1)
PRODUCT = mf.MultiIndexTarget(lambda z: z[:, 0] * z[:, 1], k=2, noise=0.05)
CASES = {
    "no label noise": ({"target": mf.CommitteeTarget(k=1)}, {}),
    "second layer": ({"second_layer_rate": 1.5}, {}),
    "gradient flow": ({"second_layer_rate": 1.0}, {"sgd_noise": False}),
    "batch": ({"second_layer_rate": 1.0}, {"batch_size": 3}),
    "tanh": ({"activation": "tanh"}, {}),
    "relu": ({"activation": "relu", "target": RELU}, {}),
    "multi-index": ({"target": PRODUCT, "activation": "tanh"}, {}),
    "all are clipped": ({"clip_norm": 1e-3}, {}),
}


OFTEN = ("second layer", "gradient flow", "batch")


@pytest.mark.parametrize(
    "name", [n if n in OFTEN else pytest.param(n, marks=pytest.mark.slow) for n in CASES]
)
def test_the_averages_are_those_of_plain_monte_carlo(name):
    settings, options = CASES[name]
    problem = make(**{"clip_norm": CLIP, **settings})
    # few perpendicular overlaps: their root is far from 1
    Q = [[0.3, 0.05], [0.05, 0.25]]
    start = mf.Overlaps(Q, [[0.2], [0.3]], [[1.0]], [2.0, 2.4])
    if problem.target is PRODUCT:
        start = mf.Overlaps(Q, [[0.2, -0.2], [0.3, 0.3]], np.eye(2), START.a)
    noise = {"noise": options.get("sgd_noise", True), "batch_size": options.get("batch_size", 1)}
    means, errors = overlap_twin.clipped_velocity(problem, start, 100_000, **noise)
    found = mf.overlap_velocity(problem, start, **options)
    plain = mf.overlap_velocity(make(**{**settings, "clip_norm": math.inf}), start, **options)
    for mean, error, here, free in zip(means, errors, found, plain, strict=True):
        assert (np.abs(here - mean) <= 5.0 * error + 1e-12).all()
        assert (error == 0.0).all() or (np.abs(free - mean) > 10.0 * error).any()


def test_where_nothing_is_clipped_nothing_changes():
    problems = [make(c, second_layer_rate=1.0) for c in (1e9, math.inf)]
    for options in ({}, {"batch_size": 2}, {"sgd_noise": False}):
        one, other = (mf.overlap_velocity(p, START, samples=1024, **options) for p in problems)
        for clipped, plain in zip(one, other, strict=True):
            np.testing.assert_allclose(clipped, plain, rtol=1e-12)
    sphere = mf.Overlaps(np.eye(2), START.M, START.P, START.a)
    one, other = (mf.overlap_velocity(p, sphere, samples=1024, spherical=True) for p in problems)
    np.testing.assert_allclose(one.Q, other.Q, rtol=1e-12, atol=1e-16)
    one, other = (mf.simulate_sgd(p, START, 1.0, save_at=3) for p in problems)
    np.testing.assert_array_equal(one.risk, other.risk)


def test_the_stated_error_is_of_the_size_of_the_true_one():
    problem = make()
    fine = mf.overlap_velocity(problem, START, samples=2**16, seed=5)
    for samples in (2**9, 2**12):
        stated = mf.solve_overlaps(problem, START, 0.01, save_at=2, samples=samples).stats
        misses = [
            np.linalg.norm(mf.overlap_velocity(problem, START, samples=samples, seed=s).M - fine.M)
            for s in range(6)
        ]
        # |g| √p is the norm that the error is relative to, at most c √p
        miss = math.sqrt(np.mean(np.square(misses))) / (CLIP * math.sqrt(2.0))
        assert 0.1 * stated["clip_error"] < miss < stated["clip_error"]
    assert 0.0 < stated["noise_error"] < 0.01


def test_small_thresholds_have_a_limit():
    """Normalised SGD: the velocity is c times one that c has no part in."""
    one, other = (mf.overlap_velocity(make(c, learning_rate=1e-6), START) for c in (1e-4, 1e-6))
    np.testing.assert_allclose(one.Q / 1e-4, other.Q / 1e-6, rtol=1e-2)
    np.testing.assert_allclose(one.M / 1e-4, other.M / 1e-6, rtol=1e-2)


def test_an_even_target_pushes_nobody_off_its_plane():
    target = mf.CommitteeTarget(k=1, activation="square", noise=0.1)
    start = mf.Overlaps([[1.0]], [[0.0]], [[1.0]], [1.0])
    velocity = mf.overlap_velocity(make(target=target, activation="square"), start)
    assert abs(velocity.M[0, 0]) < 1e-14 * abs(velocity.Q[0, 0])


def test_poor_averages_make_a_run_inaccurate():
    run = mf.solve_overlaps(make(), START, 0.5, save_at=2, samples=64)
    assert run.status == "inaccurate" and "clipped gradients" in run.message


# ---- SGD against the equations


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "kind", ["law", pytest.param("weights", marks=SLOW), pytest.param("batch", marks=SLOW)]
)
def test_sgd_follows_the_equations(kind):
    options, rates = (
        ({"batch_size": 2}, {"second_layer_rate": 1.0}) if kind == "batch" else ({}, {})
    )
    theory = mf.solve_overlaps(make(**rates), START, 3.0, save_at=4, samples=2**13, **options)
    problem, runs = make(d=200, **rates), 100
    start = START.weights(problem) if kind == "weights" else START
    sgd = mf.simulate_sgd(problem, start, 3.0, runs=runs, save_at=4, seed=3, **options)
    error = sgd.risk.std(axis=0) / math.sqrt(runs)
    gap = np.abs(sgd.risk.mean(axis=0) - theory.risk)
    assert (gap <= 5.0 * error + theory.risk / 200 + 1e-12).all()
    plain = mf.solve_overlaps(make(math.inf, **rates), START, 3.0, save_at=4, **options)
    assert (np.abs(plain.risk - theory.risk)[1:] > 10.0 * gap[1:]).all()


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "t"), [(0.1, 4.0), (0.0, 2.0)])
def test_the_gap_to_the_equations_falls_like_one_over_d(noise, t):
    """The slope of log |gap| over log d is −1 within four standard errors."""
    target = mf.CommitteeTarget(k=1, noise=noise)
    problem = make(0.3, target=target, learning_rate=2.0)
    theory = mf.solve_overlaps(problem, START, t, save_at=[t], samples=2**16).risk[0]
    sizes, gaps, errors = np.array([8, 16, 32]), [], []
    for d in sizes.tolist():
        runs = 1000 * d
        sgd = mf.simulate_sgd(problem.at_dim(d), START, t, runs=runs, save_at=[t]).risk[:, 0]
        gaps.append(abs(sgd.mean() / theory - 1.0))
        errors.append(sgd.std() / math.sqrt(runs) / theory)
    weight, x = np.square(np.divide(gaps, errors)), np.log(sizes)
    x = x - weight @ x / weight.sum()
    slope, error = weight * x @ np.log(gaps) / (weight @ x**2), 1.0 / math.sqrt(weight @ x**2)
    assert error < 0.12 and abs(slope + 1.0) < 4.0 * error


# ---- the house


@pytest.mark.slow
def test_it_goes_with_schedules_stops_and_later_phases(tmp_path):
    problem = make(learning_rate=S.power(1.0, 1.0, onset=1.0))
    run = mf.solve_overlaps(problem, START, 3.0, save_at=4, samples=2**12)
    np.testing.assert_allclose(run.alpha, 2.0 * (run.t + run.t**2 / 2.0), rtol=1e-9)
    sgd = mf.simulate_sgd(problem, START, 3.0, runs=50, save_at=4)
    np.testing.assert_allclose(sgd.risk.mean(axis=0), run.risk, rtol=0.02)
    half = mf.solve_overlaps(problem, START, 1.0, save_at=2, samples=2**12)
    whole = half.then(problem, 3.0, save_at=[2.0, 3.0])
    assert whole.risk[-1] == pytest.approx(run.risk[-1], rel=1e-5)
    assert whole.at(2.5).M[0, 0] == pytest.approx(run.at(2.5).M[0, 0], rel=1e-5)
    stop = mf.until.risk_below(0.06)
    stopped = mf.solve_overlaps(problem, START, 3.0, samples=2**12, until=stop)
    assert stopped.risk[-1] == pytest.approx(0.06, rel=1e-6)
    ended = mf.simulate_sgd(problem, START, 9.0, runs=3, save_at=3, until=stop)
    assert (ended.stopped_at < 9.0).all() and (ended.risk[:, -1] <= 0.06).all()
    again = mf.load(run.save(tmp_path / "run.meanfield"))
    assert again == run and again.problem == problem


def test_the_equations_go_on_from_a_checkpoint_to_the_last_bit(tmp_path):
    options = {"save_at": 6, "samples": 2**10}
    whole = mf.solve_overlaps(make(), START, 3.0, **options)
    seen = 0

    def stop(t, state):
        nonlocal seen
        seen += 1
        if seen == 4:
            raise KeyboardInterrupt
        return 0.0

    options |= {"checkpoint": tmp_path / "run", "observables": {"stop": stop}}
    with mf.return_on_interrupt():
        assert mf.solve_overlaps(make(), START, 3.0, **options).status == "interrupted"
    rest = mf.solve_overlaps(make(), START, 3.0, **options)
    np.testing.assert_array_equal(rest.risk, whole.risk)


@pytest.mark.slow
def test_a_grid_of_a_study_sets_it():
    study = mf.Study(
        problem={"target": {"k": 1}, "dim": 100, "learning_rate": 0.5},
        start={"law": "gaussian_overlaps", "p": 2},
        solver={"description": "overlaps", "t_end": 1.0, "samples": 2**13},
        grid={"problem.clip_norm": [0.1, 0.5, math.inf]},
    )
    results = study.run()
    assert [record.status for record in results.records] == ["success"] * 3
    assert (np.diff(results.array("risk")[:, -1]) < 0.0).all()
