import math
import signal
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import meanfield as mf
from meanfield.dynamics.sgd import record
from meanfield.dynamics.sgd.runs import LawRuns, WeightsRuns, make_step, make_streams
from meanfield.dynamics.sgd.simulate import simulate_sgd
from meanfield.kernels.dynamics.sgd import law as sgd_law
from meanfield.kernels.dynamics.sgd import random as sgd_random
from meanfield.kernels.dynamics.sgd import triangle
from meanfield.kernels.dynamics.sgd.step import closed_risk
from tests.reference import sgd as twin

pytestmark = pytest.mark.usefixtures("interrupted_results")

NAMES = ("erf", "relu", "square")
GRAM = np.array([[1.0, 0.3], [0.3, 0.8]])


def make_problem(dim=20, *, student="erf", link="erf", rate=0.8, kappa=0.0, noise=0.0, **target):
    options = {"k": 2, "gram": GRAM, "weights": [1.0, -0.7], **target}
    return mf.Problem(
        mf.CommitteeTarget(activation=link, noise=noise, **options), student, dim, rate, kappa
    )


def make_start(problem, p=3, seed=5):
    w = mf.gaussian_weights(problem, p, scale=0.8, seed=seed)
    return mf.Weights(w.W, w.W_star, np.linspace(0.6, 1.4, p), origin=w.origin)


def stream(words):
    """A stream as the kernels want it: what they return to Python comes back as plain integers."""
    return tuple(np.uint64(word) for word in words)


def all_overlaps(sol, time=-1):
    """The distinct overlaps of every run at one saved time, (runs, p(p+1)/2 + p k)."""
    Q, M = sol.states.varying["Q"][:, time], sol.states.varying["M"][:, time]
    return flat(Q, M)


def flat(Q, M):
    rows, columns = np.triu_indices(Q.shape[1])
    return np.concatenate((Q[:, rows, columns], M.reshape(len(M), -1)), axis=1)


def discrepancy(x, y):
    """Largest difference of means, and of covariances, in standard errors."""
    mean = (x.mean(0) - y.mean(0)) / np.sqrt(x.var(0) / len(x) + y.var(0) / len(y))
    products = []
    for sample in (x, y):
        centred = sample - sample.mean(0)
        products.append(centred[:, :, None] * centred[:, None, :])
    error = sum(product.var(0) / len(product) for product in products)
    covariance = (products[0].mean(0) - products[1].mean(0)) / np.sqrt(error)
    return np.abs(mean).max(), np.abs(covariance).max()


# ---- random numbers


def test_normals_are_normal_in_the_body_and_in_the_tail():
    x = np.empty(5_000_000)
    sgd_random.fill_normals(stream(make_streams(1, 1)[0]), x)
    edges = np.linspace(-3.0, 3.0, 241)
    expected = len(x) * np.diff(stats.norm.cdf(edges))
    score = ((np.histogram(x, edges)[0] - expected) ** 2 / expected).sum()
    assert stats.chi2.sf(score, 240) > 1e-3
    beyond = np.abs(x[np.abs(x) > sgd_random.TAIL])
    count = len(x) * 2 * stats.norm.sf(sgd_random.TAIL)
    assert abs(len(beyond) - count) < 4 * math.sqrt(count)
    expected = stats.norm.sf(beyond) / stats.norm.sf(sgd_random.TAIL)
    assert stats.kstest(expected, "uniform").pvalue > 1e-3
    assert abs(np.mean(x[1:] * x[:-1])) < 4 / math.sqrt(len(x))


def test_the_layers_of_the_ziggurat_have_one_area():
    edge, height = sgd_random.EDGE, sgd_random.HEIGHT
    areas = edge[1:-1] * np.diff(height)[1:]
    np.testing.assert_allclose(areas, sgd_random.AREA, rtol=1e-9)
    tail = math.sqrt(2 * math.pi) * stats.norm.sf(sgd_random.TAIL)
    assert sgd_random.TAIL * height[1] + tail == pytest.approx(sgd_random.AREA, rel=1e-9)


@pytest.mark.parametrize("degrees", [0, 1, 2, 3, 14, 10**6])
def test_chi_square_draws_have_their_law(degrees):
    s, draws = stream(make_streams(2, 1)[0]), []
    for _ in range(3000):
        x, s = sgd_random.chi_square(stream(s), float(degrees))
        draws.append(x)
    if degrees == 0:
        assert not any(draws)
    else:
        assert stats.kstest(draws, "chi2", args=(degrees,)).pvalue > 1e-3


@pytest.mark.parametrize(("batch", "outside"), [(1, 15), (3, 15), (4, 2), (3, 0)])
def test_samples_of_the_chain_have_the_lengths_and_angles_of_samples_in_r_d(batch, outside):
    k, p, count = 2, 3, 4000
    s, drawn = stream(make_streams(3, 1)[0]), np.empty((count, batch, batch))
    Z, H = np.zeros((batch, k)), np.zeros((batch, p + max(1, min(batch, outside))))
    for i in range(count):
        s = sgd_law.draw_batch(stream(s), p, float(outside), Z, H)
        drawn[i] = Z @ Z.T + H @ H.T
    x = np.random.default_rng(0).standard_normal((count, batch, k + p + outside))
    for first in range(batch):
        d = k + p + outside
        assert stats.kstest(drawn[:, first, first], "chi2", args=(d,)).pvalue > 1e-3
        for second in range(first):
            in_r_d = np.einsum("nd,nd->n", x[:, first], x[:, second])
            assert stats.ks_2samp(drawn[:, first, second], in_r_d).pvalue > 1e-3


# ---- one step, and the factor it maintains


@pytest.mark.parametrize("link", NAMES)
@pytest.mark.parametrize("student", NAMES)
@pytest.mark.parametrize(("batch", "spherical"), [(1, False), (3, False), (1, True), (3, True)])
def test_three_steps_in_r_d_are_the_twins(student, link, batch, spherical):
    d, p = 20, 3
    problem = make_problem(d, student=student, link=link, kappa=2.0, noise=0.3)
    start = make_start(problem, p)
    step = make_step(problem, p, batch, spherical)
    run = WeightsRuns(problem, start, step, make_streams(7, 1), "Weights")
    W, a = run.W[0].copy(), start.a
    s = stream(make_streams(7, 1)[0])
    for _ in range(3):
        X, xi = np.empty(batch * d), np.empty(batch)
        s = sgd_random.fill_normals(stream(sgd_random.fill_normals(stream(s), X)), xi)
        W, a = twin.step(problem, W, start.W_star, a, X.reshape(batch, d), xi, spherical=spherical)
    assert run.advance(3).tolist() == [3]
    fields, risk = run.record()
    np.testing.assert_allclose(fields["W"][0], W, rtol=0, atol=1e-13 * np.abs(W).max())
    np.testing.assert_allclose(fields["a"][0], a, rtol=1e-13)
    assert risk.shape == (1,)


def test_rows_longer_than_a_block_of_columns_are_the_twins():
    d, p, batch = 2500, 2, 2
    problem = make_problem(d)
    start = make_start(problem, p)
    run = WeightsRuns(problem, start, make_step(problem, p, batch, False), make_streams(7, 1), "W")
    run.advance(2)
    first = WeightsRuns(problem, start, run.step, make_streams(7, 1), "W")
    first.advance(1)
    W, a = twin.step(problem, start.W, start.W_star, start.a, first.X[0], np.zeros(batch))
    W, a = twin.step(problem, W, start.W_star, a, run.X[0], np.zeros(batch))
    fields = run.record()[0]
    np.testing.assert_allclose(fields["Q"][0], W @ W.T / d, rtol=1e-12)
    np.testing.assert_allclose(fields["M"][0], W @ start.W_star.T / d, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("batch", "spherical"), [(1, False), (1, True), (2, False), (9, True)])
@pytest.mark.parametrize("outside", [0, 1, 4, 10**6])
@pytest.mark.parametrize("student", NAMES)
def test_three_steps_of_the_chain_are_the_twins(student, outside, batch, spherical):
    p, k = 3, 2
    d = k + p + outside
    problem = make_problem(d, student=student, link="relu", kappa=1.0, noise=0.2)
    start = make_start(make_problem(30), p).overlaps()
    run = LawRuns(problem, start, make_step(problem, p, batch, spherical), make_streams(8, 1))
    s, a = stream(make_streams(8, 1)[0]), start.a
    for _ in range(3):
        extra = max(1, min(batch, outside))
        Z, H, xi = np.zeros((batch, k)), np.zeros((batch, p + extra)), np.empty(batch)
        s = sgd_law.draw_batch(stream(s), p, float(outside), Z, H)
        s = sgd_random.fill_normals(stream(s), xi)
        W = np.concatenate((run.u[0], run.T[0, :p].T, np.zeros((p, extra))), axis=1)
        W_star = np.concatenate((problem.target.basis, np.zeros((k, p + extra))), axis=1)
        X, root = np.concatenate((Z, H), axis=1), math.sqrt(d)
        W, a = twin.step(problem, root * W, root * W_star, a, X, xi, spherical=spherical, norm=d)
        run.advance(1)
        fields = run.record()[0]
        np.testing.assert_allclose(fields["Q"][0], W @ W.T / d, rtol=0, atol=1e-12)
        np.testing.assert_allclose(fields["M"][0], W @ W_star.T / root, rtol=0, atol=1e-12)
        np.testing.assert_allclose(fields["a"][0], a, rtol=1e-13)
    assert np.abs(np.tril(run.T[0, :p], -1)).max() == 0.0


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    p=st.integers(1, 7), batch=st.integers(1, 5), rank=st.integers(0, 7), seed=st.integers(0, 99)
)
def test_the_triangular_factor_survives_a_batch(p, batch, rank, seed):
    rng = np.random.default_rng(seed)
    S = np.tril(rng.standard_normal((p, p)))
    S[:, rank:] = 0.0  # a singular factor, whenever rank < p
    C, H = rng.standard_normal((batch, p)), rng.standard_normal((batch, p + batch))
    H[:, p:] = np.abs(np.tril(H[:, p:]))
    full = np.concatenate((S, np.zeros((p, batch))), axis=1) + C.T @ H
    T = np.zeros((p + 1, p))
    T[:p] = S.T
    if batch == 1:
        triangle.add_rank_one(T, C[0], H[0].copy(), np.empty((4, p)))
    else:
        triangle.add_batch(T, C, H, np.empty((p, p + batch)))
    np.testing.assert_allclose(
        T.T @ T, full @ full.T, rtol=0, atol=1e-12 * (1 + np.abs(full).max()) ** 2
    )
    assert not np.tril(T[:p], -1).any()


# ---- the two simulators have one law


@pytest.mark.parametrize(
    ("dim", "batch", "spherical", "student"),
    [
        (20, 1, False, "erf"),
        (200, 1, False, "erf"),
        (20, 3, False, "relu"),
        (20, 1, True, "erf"),
    ],
)
def test_the_two_simulators_agree_in_law(dim, batch, spherical, student):
    problem = make_problem(dim, student=student, rate=1.5, noise=0.1, kappa=1.0)
    start = make_start(problem)
    options = {"runs": 1500, "batch_size": batch, "spherical": spherical, "save_at": [1.0]}
    real = simulate_sgd(problem, start, 1.0, seed=1, keep="overlaps", **options)
    law = simulate_sgd(problem, start.overlaps(), 1.0, seed=2, **options)
    assert real.parameters["description"] != law.parameters["description"]
    x, y = all_overlaps(real), all_overlaps(law)
    if spherical:  # the diagonal of Q does not vary
        varies = x.std(0) > 1e-8
        x, y = x[:, varies], y[:, varies]
    mean, covariance = discrepancy(x, y)
    assert mean < 4.2 and covariance < 4.5
    second = [sol.states.varying["a"][:, -1] for sol in (real, law)]
    assert max(discrepancy(*second)) < 4.2


@pytest.mark.parametrize("dim", [20, 200])
def test_the_comparison_of_laws_sees_a_missing_chi_square_term(dim):
    problem = make_problem(dim, rate=1.5, noise=0.1)
    start = make_start(problem)
    steps = round(3 * dim / 1.5)
    real = simulate_sgd(problem, start, 1.0, seed=1, runs=300, save_at=[1.0], keep="overlaps")
    assert real.stats["steps"] == steps
    x = all_overlaps(real)
    whole = flat(*twin.chain(problem, start.overlaps(), steps, 300, seed=4))
    broken = flat(*twin.chain(problem, start.overlaps(), steps, 300, seed=4, keep_length=False))
    assert max(discrepancy(x, whole)) < 4.2
    assert discrepancy(x, broken)[0] > 10.0


def test_a_singular_gram_matrix_is_one_law_too():
    B = np.array([[1.0, 0.0], [0.5, 0.8], [0.2, -0.4]])
    problem = make_problem(25, k=3, gram=B @ B.T, weights=[1.0, 0.5, -1.0], rate=1.5)
    assert problem.subspace_dim == 2
    start = make_start(problem, p=2)
    options = {"runs": 800, "save_at": [1.0]}
    real = simulate_sgd(problem, start, 1.0, seed=1, keep="overlaps", **options)
    law = simulate_sgd(problem, start.overlaps(), 1.0, seed=2, **options)
    keep = [0, 1, 2, 3, 4, 6, 7]  # Q, and the two independent columns of M
    assert max(discrepancy(all_overlaps(real)[:, keep], all_overlaps(law)[:, keep])) < 4.2
    assert isinstance(law.final[0], mf.Overlaps)


@pytest.mark.parametrize("dim", [3, 4])
def test_overlaps_in_few_dimensions_run_in_r_d(dim):
    problem = make_problem(dim, rate=0.5)
    start = make_start(problem, p=3)
    law = simulate_sgd(problem, start.overlaps(), 0.5, runs=400, seed=3)
    assert law.parameters["description"] == "SGD in R^d"
    np.testing.assert_allclose(law.states[0][0].Q, start.overlaps().Q, atol=1e-12)
    np.testing.assert_allclose(law.states[0][0].M, start.overlaps().M, atol=1e-12)
    real = simulate_sgd(problem, start, 0.5, runs=400, seed=4, keep="overlaps")
    assert discrepancy(all_overlaps(real), all_overlaps(law))[0] < 4.2


def test_overlaps_of_a_rank_that_dim_cannot_hold_are_refused():
    start = make_start(make_problem(30), p=4).overlaps()
    with pytest.raises(ValueError, match=r"dim is too small .* span 4 directions"):
        simulate_sgd(make_problem(5), start, 1.0)


# ---- what is recorded


@pytest.mark.parametrize("kind", ["weights", "overlaps"])
def test_numbers_do_not_depend_on_threads_runs_or_calls(kind, monkeypatch):
    problem = make_problem(30, noise=0.1, kappa=1.0)
    start = make_start(problem)
    start = start if kind == "weights" else start.overlaps()
    options = {"seed": 9, "batch_size": 2, "save_at": [0.0, 0.5, 1.0]}
    one = simulate_sgd(problem, start, 1.0, runs=5, threads=1, **options)
    two = simulate_sgd(problem, start, 1.0, runs=5, threads=2, **options)
    assert one == two
    fewer = simulate_sgd(problem, start, 1.0, runs=2, **options)
    assert np.array_equal(fewer.risk, one.risk[:2])
    monkeypatch.setattr("meanfield.dynamics.sgd.record.CALL_DURATION", 1e-9)
    short = simulate_sgd(problem, start, 1.0, runs=5, seed=9, batch_size=2, save_at=[0.5, 1.0])
    assert np.array_equal(short.risk, one.risk[:, 1:])
    assert [run[-1] for run in short.states] == one.final
    other = simulate_sgd(problem, start, 1.0, runs=5, **{**options, "seed": 10})
    assert not np.intersect1d(other.risk[:, 1:], one.risk[:, 1:]).size
    assert len(np.unique(one.risk[:, 1])) == 5


@pytest.mark.parametrize("kind", ["weights", "overlaps"])
def test_stamps_are_the_times_of_the_states(kind):
    problem = make_problem(20, rate=0.7)  # a step is 0.7/60
    start = make_start(problem)
    start = start if kind == "weights" else start.overlaps()
    asked = [0.0, 0.001, 0.1, 0.5, 1.0]
    sol = simulate_sgd(problem, start, 1.0, save_at=asked, seed=4)
    unit = 0.7 / 60
    np.testing.assert_allclose(sol.t, unit * np.array([0, 9, 43, 85]), rtol=1e-15)
    assert sol.t[-1] <= 1.0 and sol.stats["steps"] == 85
    for i in range(1, len(sol.t)):
        alone = simulate_sgd(problem, start, sol.t[i], save_at=[sol.t[i]], seed=4)
        assert alone.stats["steps"] == round(sol.t[i] / unit)
        assert alone.t.tolist() == [sol.t[i]]
        assert alone.final[0] == sol.states[0][i]
    assert sol.states[0][0] != sol.states[0][1]
    first = sol.states[0][0]
    first = first.overlaps() if kind == "weights" else first
    np.testing.assert_allclose(first.Q, make_start(problem).overlaps().Q, atol=1e-13)


def test_a_whole_number_of_steps_ends_on_t_end_exactly():
    problem = make_problem(1000, rate=0.1)
    sol = simulate_sgd(problem, make_start(problem).overlaps(), 0.3, save_at=7)
    assert sol.t.tolist() == np.linspace(0.0, 0.3, 7).tolist()
    assert sol.stats["steps"] == 9000 and sol.success


@pytest.mark.parametrize("link", NAMES)
@pytest.mark.parametrize("student", NAMES)
def test_risk_is_that_of_a_sample(student, link):
    problem = make_problem(40, student=student, link=link, rate=0.2, noise=1.0)
    start = make_start(problem)
    sol = simulate_sgd(problem, start, 0.5, save_at=[0.5], seed=2)
    state, target = sol.final[0], problem.target
    x = np.random.default_rng(0).standard_normal((60_000, 40))
    f = problem.student(x @ state.W.T / math.sqrt(40)) @ state.a / 3
    y = target.link(x @ state.W_star.T / math.sqrt(40)) @ target.weights / 2
    losses = 0.5 * (f - y) ** 2
    assert abs(sol.risk[0, 0] - losses.mean()) < 4 * losses.std() / math.sqrt(len(losses))
    o = state.overlaps()
    closed = closed_risk(
        problem.student.code, target.link.code, o.Q, o.M, o.P, o.a, np.asarray(target.weights)
    )
    assert sol.risk[0, 0] == pytest.approx(closed, rel=1e-10)


def test_overlaps_stay_positive_semi_definite_over_a_long_run():
    problem = make_problem(10**6, rate=2.0)
    start = make_start(make_problem(50), p=4)
    twins = mf.Weights(start.W[[0, 1, 1, 2]], start.W_star, np.ones(4))  # Q is singular
    sol = simulate_sgd(problem, twins.overlaps(), 0.05, runs=2, save_at=6, seed=3)
    Q, M = sol.states.varying["Q"], sol.states.varying["M"]
    P = np.broadcast_to(problem.target.gram, (*Q.shape[:2], 2, 2))
    joint = np.concatenate(
        (np.concatenate((P, M.swapaxes(-1, -2)), -1), np.concatenate((M, Q), -1)), -2
    )
    assert np.array_equal(Q, Q.swapaxes(-1, -2))
    assert np.linalg.eigvalsh(joint).min() > -1e-14
    np.testing.assert_allclose(Q[..., 1, 1], Q[..., 2, 2], rtol=1e-9)  # twins stay twins


@pytest.mark.parametrize("batch", [1, 4])
def test_spherical_runs_stay_on_the_sphere(batch):
    problem = make_problem(30, rate=3.0, student="relu")
    start = make_start(problem)
    options = {"runs": 2, "spherical": True, "batch_size": batch, "save_at": 4}
    real = simulate_sgd(problem, start, 100.0, **options)
    law = simulate_sgd(problem, start.overlaps(), 100.0, **options)
    squares = (real.states.varying["W"] ** 2).sum(-1)
    np.testing.assert_allclose(squares, 30.0, rtol=1e-13)
    diagonal = np.diagonal(law.states.varying["Q"], axis1=-2, axis2=-1)
    np.testing.assert_allclose(diagonal, 1.0, rtol=1e-13)


def test_larger_batches_scatter_less():
    problem = make_problem(50)
    start = make_start(problem).overlaps()
    spread = [
        simulate_sgd(problem, start, 0.5, runs=300, batch_size=b, save_at=[0.5]).risk.std()
        for b in (1, 16)
    ]
    assert spread[0] / spread[1] == pytest.approx(4.0, rel=0.25)


def test_what_is_kept_can_be_chosen():
    problem = make_problem(30)
    start = make_start(problem)
    whole = simulate_sgd(problem, start, 1.0, save_at=5, runs=2)
    ends = simulate_sgd(problem, start, 1.0, save_at=5, runs=2, keep="ends")
    overlaps = simulate_sgd(problem, start, 1.0, save_at=5, runs=2, keep="overlaps")
    assert whole.states.shape == overlaps.states.shape == (2, 5)
    assert ends.states.shape == (2, 2) and ends.risk.shape == (2, 5)
    assert np.array_equal(ends.risk, whole.risk) and np.array_equal(overlaps.risk, whole.risk)
    assert ends.final == whole.final and ends.states[1][0] == whole.states[1][0]
    np.testing.assert_allclose(overlaps.final[1].Q, whole.final[1].overlaps().Q, rtol=1e-12)
    assert isinstance(whole.final[0], mf.Weights) and isinstance(overlaps.final[0], mf.Overlaps)


def test_a_solution_survives_the_disk(tmp_path):
    problem = make_problem(30)
    sol = simulate_sgd(problem, make_start(problem), 1.0, save_at=5, runs=2)
    assert mf.load(sol.save(tmp_path / "run")) == sol
    assert sol.parameters["start"]["seed"] == sol.states[0][0].origin["seed"] == 5


# ---- runs that end early


@pytest.mark.parametrize("kind", ["weights", "overlaps"])
def test_divergence_returns_what_came_before(kind):
    problem = make_problem(20, student="square", rate=30.0)
    start = make_start(problem)
    start = start if kind == "weights" else start.overlaps()
    sol = simulate_sgd(problem, start, 100.0, runs=3, save_at=np.linspace(0, 100, 200))
    assert sol.status is mf.Status.DIVERGED and "learning_rate" in sol.message
    count = len(sol.t)
    assert 1 <= count < 40 and sol.risk.shape == (3, count) and sol.states.shape == (3, count)
    assert np.isfinite(sol.risk).all()
    assert all(np.isfinite(array).all() for array in sol.states.varying.values())
    # it stops at the step where an error overflows, not at the next recorded time
    coarse = simulate_sgd(problem, start, 100.0, runs=3, save_at=[0.0, 100.0])
    assert "the error of run" in coarse.message and coarse.t.tolist() == [0.0]
    assert sol.stats["steps"] <= coarse.stats["steps"] <= sol.stats["steps"] + 2


def test_weights_whose_overlaps_overflow_are_not_recorded():
    problem = make_problem(20, rate=1e200)  # erf saturates: the error itself stays finite
    sol = simulate_sgd(problem, make_start(problem), 1e199, save_at=4)
    assert sol.status is mf.Status.DIVERGED and "a state stopped being finite" in sol.message
    assert sol.t.tolist() == [0.0] and np.isfinite(sol.risk).all()


@pytest.mark.parametrize("kind", ["weights", "overlaps"])
def test_ctrl_c_returns_what_came_before(kind, monkeypatch):
    problem = make_problem(30)
    start = make_start(problem)
    start = start if kind == "weights" else start.overlaps()
    whole = simulate_sgd(problem, start, 1.0, save_at=11, runs=2)
    cls, calls = (WeightsRuns if kind == "weights" else LawRuns), []
    advance = cls.advance

    def interrupted(self, steps, rates):
        calls.append(steps)
        done = advance(self, steps, rates)
        if len(calls) == 4:
            signal.raise_signal(signal.SIGINT)
        return done

    monkeypatch.setattr(cls, "advance", interrupted)
    sol = simulate_sgd(problem, start, 1.0, save_at=11, runs=2)
    assert sol.status is mf.Status.INTERRUPTED and "interrupted" in sol.message
    assert np.array_equal(sol.risk, whole.risk[:, :4]) and np.array_equal(sol.t, whole.t[:4])
    assert sol.final == [run[3] for run in whole.states]


def test_a_long_run_is_cut_into_short_calls(monkeypatch):
    """By a clock on which steps take ten times what is thought of them, whatever the machine."""
    problem = make_problem(10**6)
    start = make_start(make_problem(30)).overlaps()
    durations, advance = [], LawRuns.advance

    def timed(self, steps, rates):
        durations.append(10.0 * steps * 1e-9 * self.work)
        return advance(self, steps, rates)

    clock = SimpleNamespace(perf_counter=lambda: sum(durations))
    monkeypatch.setattr(LawRuns, "advance", timed)
    monkeypatch.setattr(record, "time", clock)
    simulate_sgd(problem, start, 1.0, save_at=[1.0], progress=True)
    assert len(durations) > 5 and durations[0] == pytest.approx(1.0, rel=1e-3)
    assert max(durations[4:]) == pytest.approx(record.CALL_DURATION, rel=1e-3)


# ---- the boundary


def call(problem=None, start=None, t_end=1.0, **options):
    problem = make_problem(30) if problem is None else problem
    return simulate_sgd(
        problem, make_start(make_problem(30)) if start is None else start, t_end, **options
    )


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"problem": 3}, TypeError, "problem must be a Problem"),
        ({"start": 3}, TypeError, "start must be Weights or Overlaps"),
        ({"problem": make_problem(math.inf)}, ValueError, "finite dim"),
        ({"problem": make_problem(30, rate=0.0)}, ValueError, "learning_rate greater than 0"),
        ({"problem": make_problem(40)}, ValueError, "start must have dim = 40"),
        (
            {"problem": make_problem(30, gram=np.eye(2))},
            ValueError,
            "start must have the target's Gram",
        ),
        ({"problem": make_problem(30, rate=1e-300)}, ValueError, "t_end = 1"),
        ({"t_end": 0.0}, ValueError, "t_end must be greater"),
        ({"t_end": 0.001}, ValueError, "t_end must hold at least one step"),
        ({"save_at": [2.0]}, ValueError, "save_at must lie"),
        ({"seed": -1}, ValueError, "seed"),
        ({"runs": 0}, ValueError, "runs"),
        ({"runs": 1.5}, TypeError, "runs"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"spherical": 1}, TypeError, "spherical"),
        ({"progress": "yes"}, TypeError, "progress"),
        ({"keep": "none"}, ValueError, "keep"),
        ({"threads": 0}, ValueError, "threads"),
    ],
)
def test_bad_input_is_refused_by_name(options, error, words):
    with pytest.raises(error, match=words):
        call(**options)


def test_infinite_dimension_is_refused_for_overlaps_too():
    with pytest.raises(ValueError, match="finite dim"):
        call(make_problem(math.inf), make_start(make_problem(30)).overlaps())


def test_a_zero_neuron_has_no_place_on_the_sphere():
    problem = make_problem(30)
    start = make_start(problem)
    W = start.W.copy()
    W[1] = 0.0
    with pytest.raises(ValueError, match="W of the start has a zero neuron"):
        call(problem, mf.Weights(W, start.W_star, start.a), spherical=True)
