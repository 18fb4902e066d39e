"""The overlap equations against sums of closed forms, exact moments and SGD itself."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import meanfield as mf
from meanfield.dynamics.overlaps import flow as overlap_flow
from meanfield.dynamics.overlaps.averages import OverlapAverages
from meanfield.dynamics.overlaps.record import OverlapRun
from meanfield.dynamics.overlaps.solve import overlap_velocity, solve_overlaps
from meanfield.dynamics.risk import population_risk
from meanfield.dynamics.run import Request, Tolerances
from tests.reference import overlaps as twin

ACTIVATIONS = ("erf", "relu", "square")
PAIRS = [(sigma, tau) for sigma in ACTIVATIONS for tau in ACTIVATIONS]


def make_problem(
    sigma="erf", tau="erf", *, k=2, gamma=1.0, kappa=0.0, noise=0.05, gram=None, dim=50
):
    rng = np.random.default_rng(k)
    if gram is None:
        A = rng.standard_normal((k, k + 2))
        gram = A @ A.T / (k + 2)
    target = mf.CommitteeTarget(
        k=k, activation=tau, gram=gram, weights=rng.uniform(0.5, 1.5, k), noise=noise
    )
    return mf.Problem(target, sigma, dim, learning_rate=gamma, second_layer_rate=kappa)


def make_overlaps(problem, p, seed=0, unit=False):
    """Overlaps of random weights that lean towards the target, with a of both signs."""
    rng = np.random.default_rng(seed)
    weights = mf.gaussian_weights(problem, p, seed=seed)
    W = weights.W + rng.standard_normal((p, problem.target.k)) @ weights.W_star * 0.4
    W *= 0.9
    if unit:
        W *= math.sqrt(problem.dim) / np.linalg.norm(W, axis=1)[:, None]
    return mf.Weights(W, weights.W_star, rng.uniform(-1.5, 1.5, p)).overlaps()


def assert_close(actual, expected, tolerance):
    np.testing.assert_allclose(actual, expected, rtol=0.0, atol=tolerance)


# The right-hand side


@pytest.mark.parametrize("p", [2, 3, 5, 7, 10])
@pytest.mark.parametrize("noise", [False, True])
def test_erf_agrees_with_sums_of_closed_form_integrals(p, noise):
    problem = make_problem(k=1 + p % 3, gamma=0.7 * p)
    overlaps = make_overlaps(problem, p, seed=p)
    velocity = overlap_velocity(problem, overlaps, sgd_noise=noise)
    dQ, dM, _ = twin.erf_velocity(problem, overlaps, noise=noise)
    assert_close(velocity.Q, dQ, 1e-10)
    assert_close(velocity.M, dM, 1e-10)
    assert not velocity.a.any()


def test_erf_with_a_singular_gram_matrix():
    problem = make_problem(k=3, gram=[[1.0, 0.5, 1.0], [0.5, 1.0, 0.5], [1.0, 0.5, 1.0]])
    overlaps = make_overlaps(problem, 4)
    velocity = overlap_velocity(problem, overlaps)
    dQ, dM, _ = twin.erf_velocity(problem, overlaps, noise=True)
    assert problem.target.rank == 2
    assert_close(velocity.Q, dQ, 1e-10)
    assert_close(velocity.M, dM, 1e-10)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_square_agrees_with_exact_polynomial_moments(p):
    problem = make_problem("square", "square", gamma=0.5)
    overlaps = make_overlaps(problem, p)
    velocity = overlap_velocity(problem, overlaps)
    dQ, dM, _ = twin.square_velocity(problem, overlaps)
    assert_close(velocity.Q, dQ, 1e-12 * np.abs(dQ).max())
    assert_close(velocity.M, dM, 1e-12 * np.abs(dM).max())


@pytest.mark.parametrize(
    ("sigma", "slow"),
    [("erf", lambda *x: twin.erf_velocity(*x, noise=True)), ("square", twin.square_velocity)],
)
@pytest.mark.parametrize("p", [2, 4])
def test_the_sample_agrees_within_its_stated_error(sigma, slow, p):
    problem = make_problem(sigma, sigma)
    overlaps = make_overlaps(problem, p)
    dQ, _, term = slow(problem, overlaps)
    for samples, largest in ((512, 0.5), (2**15, 0.05)):
        options = {"noise_method": "sampled", "samples": samples, "seed": 3}
        velocity = overlap_velocity(problem, overlaps, **options)
        run = solve_overlaps(problem, overlaps, 1e-3, save_at=[0.0], **options)
        stated = run.stats["noise_error"]
        assert run.stats["noise_method"] == "sampled"
        assert run.stats["noise_samples"] == samples
        assert 0.0 < stated < largest
        error = np.linalg.norm(velocity.Q - dQ) / np.linalg.norm(term)
        assert 0.05 * stated < error < 1.5 * stated


@pytest.mark.parametrize("tau", ["relu", "square"])
def test_closed_form_of_erf_students_with_another_target(tau):
    problem = make_problem("erf", tau, k=3)
    overlaps = make_overlaps(problem, 3)
    closed = overlap_velocity(problem, overlaps, noise_method="closed")
    sampled = overlap_velocity(problem, overlaps, noise_method="sampled")
    free = overlap_velocity(problem, overlaps, sgd_noise=False)
    size = np.linalg.norm(closed.Q - free.Q)
    assert np.linalg.norm(closed.Q - sampled.Q) < 0.01 * size
    assert_close(closed.M, sampled.M, 1e-14)


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize(("sigma", "tau"), PAIRS)
def test_one_step_of_sgd_on_average(sigma, tau, spherical):
    """Within 4 standard errors; d is so large that the O(1/d) of a step does not show."""
    problem = make_problem(sigma, tau, gamma=0.8, kappa=0.7)
    overlaps = make_overlaps(problem, 3, seed=4, unit=spherical)
    problem = problem.at_dim(10**7)
    samples = twin.exact_law_samples(overlaps, problem.dim, 200_000, problem.target.noise, seed=5)
    velocity = overlap_velocity(problem, overlaps, spherical=spherical)
    steps = twin.sgd_increments(problem, overlaps, *samples, spherical=spherical)
    for step, expected in zip(steps, velocity, strict=True):
        error = step.std(axis=0) / math.sqrt(len(step))
        tiny = 1e-7 * np.abs(step).max()  # Q_ii does not move on the sphere, but for rounding
        assert (np.abs(step.mean(axis=0) - expected) < 4 * error + tiny).all()


@pytest.mark.parametrize("d", [6, 200])
def test_one_step_of_sgd_in_real_inputs_differs_by_the_length_of_the_input(d):
    """At finite d the γ/p term carries |x|²/d: 1 − n/d + λᵀ Ω⁻¹ λ/d with n = p + k fields."""
    problem = make_problem(gamma=3.0, dim=d)
    weights = mf.gaussian_weights(problem, 2, seed=1)
    overlaps = weights.overlaps()
    rows = np.vstack((weights.W, weights.W_star)) / math.sqrt(d)
    rng = np.random.default_rng(2)
    x = rng.standard_normal((100_000, d))
    fields, labels = x @ rows.T, math.sqrt(problem.target.noise) * rng.standard_normal(len(x))
    squared_length = (x * x).sum(axis=1)
    steps = twin.sgd_increments(problem, overlaps, fields, squared_length, labels, spherical=False)
    solved = np.einsum("sm,mn,sn->s", fields, np.linalg.inv(rows @ rows.T), fields)
    exact = d * (1 - (len(rows) - solved) / d)
    expected = overlap_velocity(problem, overlaps).Q
    n = len(rows)
    limit = twin.sgd_increments(problem, overlaps, fields, 0 * exact + d, labels, spherical=False)
    corrected = twin.sgd_increments(problem, overlaps, fields, exact, labels, spherical=False)
    error = 4 * steps[0].std(axis=0) / math.sqrt(len(x))
    assert (np.abs(limit[0].mean(axis=0) - expected) < error).all()
    assert (np.abs(steps[0].mean(axis=0) - corrected[0].mean(axis=0)) < error).all()
    gap = np.abs((corrected[0] - limit[0]).mean(axis=0)).max()
    assert gap < 2 * n / d * np.abs(expected).max()


@pytest.mark.parametrize(("sigma", "tau"), PAIRS)
def test_gradient_flow_is_minus_the_gradient_of_the_risk(sigma, tau):
    """dF/dt = −p ∂R/∂F for rows F of w/√d, and da/dt = −κ p ∂R/∂a, by central differences."""
    problem = make_problem(sigma, tau, k=2, kappa=0.5)
    p, rng = 3, np.random.default_rng(6)
    B = np.hstack((problem.target.basis, np.zeros((2, p))))
    F = rng.standard_normal((p, 2 + p)) * 0.6
    a = rng.uniform(-1.5, 1.5, p)

    def overlaps_of(F, a):
        return mf.Overlaps(F @ F.T, F @ B.T, problem.target.gram, a)

    def slope(shift):
        step = 1e-5
        up, down = shift(step), shift(-step)
        risks = [population_risk(problem, overlaps_of(*moved)) for moved in (up, down)]
        return (risks[0] - risks[1]) / (2 * step)

    dF, da = np.empty_like(F), np.empty_like(a)
    for index in np.ndindex(F.shape):
        unit = np.zeros_like(F)
        unit[index] = 1.0
        dF[index] = -p * slope(lambda h, unit=unit: (F + h * unit, a))
    for i, unit in enumerate(np.eye(p)):
        da[i] = -0.5 * p * slope(lambda h, unit=unit: (F, a + h * unit))
    velocity = overlap_velocity(problem, overlaps_of(F, a), sgd_noise=False)
    assert_close(velocity.Q, dF @ F.T + F @ dF.T, 1e-7)
    assert_close(velocity.M, dF @ B.T, 1e-7)
    assert_close(velocity.a, da, 1e-7)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.permutations(range(4)), st.sampled_from(PAIRS), st.booleans())
def test_neurons_can_be_renamed(order, pair, spherical):
    problem = make_problem(*pair, kappa=1.0)
    overlaps = make_overlaps(problem, 4)
    order = list(order)
    renamed = mf.Overlaps(
        overlaps.Q[np.ix_(order, order)], overlaps.M[order], overlaps.P, overlaps.a[order]
    )
    options = {"spherical": spherical, "sgd_noise": pair in (("erf", "erf"), ("square", "square"))}
    before = overlap_velocity(problem, overlaps, **options)
    after = overlap_velocity(problem, renamed, **options)
    assert_close(after.Q, before.Q[np.ix_(order, order)], 1e-11 * np.abs(before.Q).max())
    assert_close(after.M, before.M[order], 1e-11 * np.abs(before.M).max())
    assert_close(after.a, before.a[order], 1e-11 * np.abs(before.a).max())


# Runs


@pytest.mark.parametrize("spherical", [False, True])
def test_runs_of_sgd_follow_the_equations(spherical):
    problem = make_problem(k=1, gamma=2.0, kappa=1.0, noise=0.5, gram=[[1.0]], dim=2000)
    weights = mf.gaussian_weights(problem, 2, seed=7)
    W = weights.W + 0.5 * weights.W_star
    if spherical:
        W *= math.sqrt(problem.dim) / np.linalg.norm(W, axis=1)[:, None]
    weights = mf.Weights(W, weights.W_star, [1.0, 0.6])
    final = solve_overlaps(problem, weights.overlaps(), 2.0, spherical=spherical).final
    free = solve_overlaps(
        problem, weights.overlaps(), 2.0, spherical=spherical, sgd_noise=False
    ).final
    runs = [twin.run_sgd(problem, weights, 2.0, seed, spherical=spherical) for seed in range(6)]
    gap = without = 0.0
    for name in ("Q", "M", "a"):
        mean = np.mean([getattr(run, name) for run in runs], axis=0)
        gap = max(gap, np.abs(getattr(final, name) - mean).max())
        without = max(without, np.abs(getattr(free, name) - mean).max())
    assert gap < 0.04
    assert without > 0.1  # the γ/p term is seen


@pytest.mark.parametrize(("sigma", "tau"), PAIRS)
def test_gradient_flow_lowers_the_risk(sigma, tau):
    problem = make_problem(sigma, tau, kappa=1.0)
    run = solve_overlaps(problem, make_overlaps(problem, 5), 5.0, sgd_noise=False)
    assert run.success and len(run.t) == 51
    assert (np.diff(run.risk) < 0).all()
    assert run.stats["noise_method"] == "none"
    same = mf.Problem(problem.target, sigma, 50, learning_rate=0.0, second_layer_rate=1.0)
    assert np.array_equal(solve_overlaps(same, make_overlaps(problem, 5), 5.0).risk, run.risk)


@pytest.mark.parametrize("sigma", ACTIVATIONS)
@pytest.mark.parametrize("sgd_noise", [False, True])
def test_overlaps_stay_symmetric_and_positive(sigma, sgd_noise):
    """From singular starts: more neurons than dimensions, and two neurons alike."""
    problem = make_problem(sigma, sigma, k=2, gamma=0.2, dim=4)
    weights = mf.gaussian_weights(problem, 6, seed=2)
    W = 0.7 * np.array(weights.W)
    W[5] = W[4]
    overlaps = mf.Weights(W, weights.W_star, np.ones(6)).overlaps()
    run = solve_overlaps(
        problem, overlaps, 4.0, sgd_noise=sgd_noise, save_at=9, samples=512, rtol=1e-5
    )
    assert len(run.states) == 9, run.message  # a γ/p term of few samples may be inaccurate
    for state in run.states:
        joint = twin.joint_covariance(state)
        assert np.array_equal(state.Q, state.Q.T)
        assert np.linalg.eigvalsh(joint)[0] > -1e-14 * np.linalg.eigvalsh(joint)[-1] * len(joint)
    assert run.stats["clipped"] < 1e-5


def test_the_sphere_is_kept():
    problem = make_problem("erf", "erf", gamma=2.0)
    overlaps = make_overlaps(problem, 3)
    for sgd_noise in (False, True):
        run = solve_overlaps(problem, overlaps, 5.0, spherical=True, sgd_noise=sgd_noise, rtol=1e-4)
        for state in run.states:
            assert_close(np.diag(state.Q), 1.0, 1e-14)


def test_results_do_not_depend_on_the_number_of_threads():
    problem = make_problem("erf", "relu", kappa=1.0)
    overlaps = make_overlaps(problem, 20)
    for options in ({}, {"noise_method": "sampled", "samples": 1024}, {"sgd_noise": False}):
        one, two = (
            solve_overlaps(problem, overlaps, 0.05, save_at=3, threads=threads, **options)
            for threads in (1, 2)
        )
        assert one == two


def test_tolerances_converge():
    problem = make_problem(kappa=1.0)
    overlaps = make_overlaps(problem, 4)
    exact = solve_overlaps(problem, overlaps, 10.0, rtol=1e-11, atol=1e-13)
    for rtol in (1e-5, 1e-8):
        run = solve_overlaps(problem, overlaps, 10.0, rtol=rtol, atol=1e-3 * rtol)
        assert np.abs(run.risk / exact.risk - 1).max() < 20 * rtol
        assert np.abs(run.final.Q - exact.final.Q).max() < 20 * rtol


@pytest.mark.parametrize(("sigma", "tau"), PAIRS)
def test_risk_is_the_population_risk(sigma, tau):
    problem = make_problem(sigma, tau)
    overlaps = make_overlaps(problem, 3)
    fields, _, _ = twin.exact_law_samples(overlaps, 100, 400_000, 0.0, seed=8)
    f = problem.student(fields[:, :3]) @ overlaps.a / 3
    f_star = problem.target.link(fields[:, 3:]) @ problem.target.weights / 2
    losses = 0.5 * (f - f_star) ** 2
    error = 4 * losses.std() / math.sqrt(len(losses))
    assert abs(population_risk(problem, overlaps) - losses.mean()) < error


def test_risk_stops_at_its_floor_when_the_target_is_learnt():
    problem = make_problem(k=1, gram=[[1.0]], noise=0.0)
    a = np.asarray(problem.target.weights)
    overlaps = mf.Overlaps([[1.0]], [[1.0]], [[1.0]], a)
    run = solve_overlaps(problem, overlaps, 1.0)
    assert (run.risk <= run.stats["risk_floor"]).all()
    assert 0.0 < run.stats["risk_floor"] < 1e-15


def test_divergence_is_a_status():
    problem = make_problem("square", "square", gamma=50.0)
    run = solve_overlaps(problem, make_overlaps(problem, 3), 100.0, save_at=[0.0, 1e-6, 100.0])
    assert run.status in (mf.Status.DIVERGED, mf.Status.STEP_COLLAPSED)
    assert list(run.t) == [0.0, 1e-6] and len(run.states) == 2


def test_a_state_too_large_for_its_risk_is_recorded():
    problem = make_problem("square", "square", gamma=0.0)
    flow = overlap_flow.OverlapFlow(
        problem, make_overlaps(problem, 2), OverlapAverages(problem), None, False
    )
    run = OverlapRun(flow, make_overlaps(problem, 2), Request.checked(1.0), Tolerances())
    assert math.isnan(run.observe(0.0, 1e120 * flow.y0)["risk"])


@pytest.mark.usefixtures("interrupted_results")
def test_interruption_keeps_what_was_computed(monkeypatch):
    problem = make_problem()
    calls = []

    def interrupting(*arguments, real=overlap_flow.OverlapFlow.velocity):
        calls.append(1)
        if len(calls) > 40:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(overlap_flow.OverlapFlow, "velocity", interrupting)
    run = solve_overlaps(problem, make_overlaps(problem, 3), 50.0)
    assert run.status is mf.Status.INTERRUPTED
    assert 0 < len(run.t) == len(run.risk) == len(run.states) < 51


@pytest.mark.usefixtures("interrupted_results")
def test_interruption_before_anything_was_saved(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(overlap_flow.OverlapFlow, "velocity", interrupted)
    run = solve_overlaps(make_problem(), make_overlaps(make_problem(), 3), 50.0)
    assert run.status is mf.Status.INTERRUPTED and len(run.t) == len(run.states) == 0


def test_a_run_on_disk_equals_itself(tmp_path):
    problem = make_problem("relu", "erf", kappa=1.0)
    run = solve_overlaps(problem, make_overlaps(problem, 3), 0.5, save_at=4, samples=64)
    assert mf.load(run.save(tmp_path / "run.npz")) == run


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"t_end": 0.0}, "t_end"),
        ({"problem": 3}, "problem"),
        ({"overlaps": 3}, "overlaps"),
        ({"rtol": -1.0}, "rtol"),
        ({"atol": 0.0}, "atol"),
        ({"sgd_noise": 1}, "sgd_noise"),
        ({"spherical": "yes"}, "spherical"),
        ({"progress": None}, "progress"),
        ({"noise_method": "exact"}, "noise_method"),
        ({"samples": 3}, "samples"),
        ({"seed": -1}, "seed"),
        ({"threads": 0}, "threads"),
        ({"save_at": [2.0, 1.0]}, "save_at"),
        ({"problem": make_problem(gram=np.eye(2))}, "Gram"),
        ({"problem": make_problem(k=1)}, "Gram"),
        ({"problem": make_problem("tanh"), "noise_method": "closed"}, "noise_method"),
    ],
)
def test_arguments_are_refused_by_name(change, name):
    problem = make_problem()
    arguments = {"problem": problem, "overlaps": make_overlaps(problem, 2), "t_end": 1.0, **change}
    with pytest.raises((TypeError, ValueError), match=name):
        solve_overlaps(**arguments)


def test_a_neuron_of_no_length_cannot_be_on_the_sphere():
    problem = make_problem(k=1)
    overlaps = mf.Overlaps([[0.0]], [[0.0]], problem.target.gram, [1.0])
    with pytest.raises(ValueError, match="overlaps"):
        solve_overlaps(problem, overlaps, 1.0, spherical=True)
