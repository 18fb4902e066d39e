"""The overlap equations for every activation and target, with decay, temperature and batches."""

import math

import numpy as np
import pytest

import meanfield as mf
from meanfield.activations import custom, get_activation
from meanfield.targets import hermite
from meanfield.targets.potentials.nodes import NodeSums
from tests.reference import overlaps as twin


def swish(x):
    return x / (1.0 + np.exp(-x))


def wavy(z):
    return np.sin(z[:, 0]) + z[:, 0] * np.tanh(z[:, 1])


SWISH = custom(swish, strip=3.0)
STUDENTS = (
    "tanh", "sigmoid", "softplus", "gelu", "sine", "leaky_relu", "hermite2", SWISH, "erf", "relu",
)  # fmt: skip
COMMITTEE = mf.CommitteeTarget(2, "tanh", [[1.0, 0.3], [0.3, 0.8]], [1.0, -0.7], noise=0.05)
OWN = mf.MultiIndexTarget(wavy, 2, noise=0.05)
STAIRCASE = mf.targets.staircase(3, noise=0.05)
TARGETS = (COMMITTEE, OWN, STAIRCASE)


def make_overlaps(problem, p=3, seed=1, unit=False):
    """Overlaps of random weights that lean towards the target, with a of both signs."""
    rng = np.random.default_rng(seed)
    start = mf.gaussian_weights(problem.at_dim(40), p, scale=0.8, seed=seed)
    W = start.W + 0.4 * rng.standard_normal((p, problem.target.k)) @ start.W_star
    if unit:
        W *= math.sqrt(40) / np.linalg.norm(W, axis=1)[:, None]
    return mf.Weights(W, start.W_star, rng.uniform(-1.5, 1.5, p)).overlaps()


def label_of(target, fields, p):
    """f* at sampled target fields."""
    u = np.linalg.lstsq(target.basis, fields[:, p:].T, rcond=None)[0].T
    return target(u)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.title)
@pytest.mark.parametrize("student", [s for s in STUDENTS if s != "hermite2"], ids=str)
def test_one_step_of_sgd_on_average(student, target):
    """Within 4.5 standard errors, decays included; d is so large that O(1/d) does not show."""
    problem = mf.Problem(
        target, student, 10**7, learning_rate=0.8, second_layer_rate=0.7,
        weight_decay=0.3, second_layer_decay=0.2,
    )  # fmt: skip
    overlaps = make_overlaps(problem)
    samples = twin.exact_law_samples(overlaps, problem.dim, 100_000, target.noise, seed=5)
    labels = label_of(target, samples[0], 3)
    steps = twin.sgd_increments(problem, overlaps, *samples, spherical=False, f_star=labels)
    velocity = mf.overlap_velocity(problem, overlaps, samples=2**15)
    decayed = (
        velocity.Q + 0.6 * overlaps.Q, velocity.M + 0.3 * overlaps.M,
        velocity.a + 0.7 * 0.2 * overlaps.a,
    )  # fmt: skip
    for step, expected in zip(steps, decayed, strict=True):
        error = step.std(axis=0) / math.sqrt(len(step))
        assert (np.abs(step.mean(axis=0) - expected) < 4.5 * error).all()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.title)
@pytest.mark.parametrize("student", [*STUDENTS, "hermite3"], ids=str)
def test_gradient_flow_is_minus_the_gradient_of_the_risk(student, target):
    """dF/dt = −p ∂R/∂F for rows F of w/√d, and da/dt = −κ p ∂R/∂a, by central differences."""
    problem = mf.Problem(target, student, 50, second_layer_rate=0.5)
    p, k, rng = 2, target.k, np.random.default_rng(6)
    B = np.hstack((target.basis, np.zeros((k, p))))
    F, a = rng.standard_normal((p, k + p)) * 0.6, rng.uniform(-1.5, 1.5, p)

    def overlaps_of(F, a):
        return mf.Overlaps(F @ F.T, F @ B.T, target.gram, a)

    def slope(shift, step=1e-4):
        risks = [mf.population_risk(problem, overlaps_of(*shift(h))) for h in (step, -step)]
        return (risks[0] - risks[1]) / (2 * step)

    dF, da = np.empty_like(F), np.empty_like(a)
    for index in np.ndindex(F.shape):
        unit = np.zeros_like(F)
        unit[index] = 1.0
        dF[index] = -p * slope(lambda h, unit=unit: (F + h * unit, a))
    for i, unit in enumerate(np.eye(p)):
        da[i] = -0.5 * p * slope(lambda h, unit=unit: (F, a + h * unit))
    velocity = mf.overlap_velocity(problem, overlaps_of(F, a), sgd_noise=False)
    for found, expected in (
        (velocity.Q, dF @ F.T + F @ dF.T), (velocity.M, dF @ B.T), (velocity.a, da),
    ):  # fmt: skip
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.title)
@pytest.mark.parametrize("student", STUDENTS, ids=str)
def test_risk_is_the_population_risk(student, target):
    problem = mf.Problem(target, student, 100)
    overlaps = make_overlaps(problem)
    fields, _, _ = twin.exact_law_samples(overlaps, 100, 100_000, 0.0, seed=8)
    f = problem.student(fields[:, :3]) @ overlaps.a / 3
    losses = 0.5 * (f - label_of(target, fields, 3)) ** 2
    error = 4.5 * losses.std() / math.sqrt(len(losses))
    assert abs(mf.population_risk(problem, overlaps) - losses.mean()) < error


@pytest.mark.parametrize("way", ["nodes", "series"])
def test_nodes_series_and_exact_sums_agree_on_a_polynomial(monkeypatch, way):
    if way == "nodes":
        monkeypatch.setattr(hermite, "SERIES_DEGREE", {})
    exact = mf.targets.staircase(3)
    nodes = mf.MultiIndexTarget(lambda z: exact(z), 3)
    assert isinstance(nodes.potential(get_activation("erf"), expanded=True), NodeSums) == (
        way == "nodes"
    )
    for student in ("erf", "tanh", "relu"):
        overlaps = make_overlaps(mf.Problem(exact, student, 50))
        one, two = (
            mf.overlap_velocity(mf.Problem(t, student, 50, second_layer_rate=1.0), overlaps)
            for t in (exact, nodes)
        )
        tolerance = 1e-3 if student == "relu" and way == "nodes" else 1e-9
        for x, y in zip(one, two, strict=True):
            np.testing.assert_allclose(x, y, rtol=0, atol=tolerance)
        run = mf.solve_overlaps(mf.Problem(nodes, student, 50), overlaps, 0.1, save_at=2)
        assert run.stats["average_error"] < tolerance


def test_what_a_series_leaves_out_is_stated(monkeypatch):
    """Of a function that is no polynomial, against nodes."""
    target = mf.MultiIndexTarget(lambda z: np.tanh(1.5 * z[:, 0]) * z[:, 1], 2)
    problem = mf.Problem(target, "tanh", 50)
    overlaps = make_overlaps(problem)
    assert 1e-8 < target.series[1] < 1e-2
    one = mf.overlap_velocity(problem, overlaps)
    stated = mf.solve_overlaps(problem, overlaps, 0.1, save_at=2).stats["average_error"]
    monkeypatch.setattr(hermite, "SERIES_DEGREE", {})
    twin_target = mf.MultiIndexTarget(target.function, 2)
    two = mf.overlap_velocity(mf.Problem(twin_target, "tanh", 50), overlaps)
    assert np.abs(one.M - two.M).max() < stated + 1e-7
    assert stated < 1e-4


def test_an_average_that_vanishes_is_no_error():
    """A target that is even in z, and odd students."""
    target = mf.MultiIndexTarget(lambda z: np.tanh(z[:, 0] - z[:, 1]) * z[:, 0], 2)
    for student in ("erf", "tanh", "sine", "sigmoid"):
        problem = mf.Problem(target, student, 50)
        run = mf.solve_overlaps(problem, make_overlaps(problem), 0.1, save_at=2)
        assert run.stats["average_error"] < 1e-6


def test_a_committee_is_a_target_of_its_coordinates():
    problem = mf.Problem(COMMITTEE, "gelu", 50, learning_rate=0.5, second_layer_rate=1.0)
    B = COMMITTEE.basis
    twin_target = mf.MultiIndexTarget(lambda z: COMMITTEE(z), 2, noise=0.05)
    overlaps = make_overlaps(problem)
    u = np.linalg.lstsq(B, overlaps.M.T, rcond=None)[0].T
    same = mf.Overlaps(overlaps.Q, u, np.eye(2), overlaps.a)
    one = mf.overlap_velocity(problem, overlaps, samples=1024)
    other = mf.Problem(twin_target, "gelu", 50, learning_rate=0.5, second_layer_rate=1.0)
    two = mf.overlap_velocity(other, same, samples=1024)
    np.testing.assert_allclose(one.Q, two.Q, rtol=0, atol=1e-8)
    np.testing.assert_allclose(one.M, two.M @ B.T, rtol=0, atol=1e-8)
    np.testing.assert_allclose(one.a, two.a, rtol=0, atol=1e-8)


# Decay, temperature, batches


def test_without_a_second_layer_weights_are_ornstein_uhlenbeck():
    decay, heat, d, t = 0.7, 0.02, 30, 3.0
    target = mf.CommitteeTarget(k=2)
    problem = mf.Problem(target, "tanh", d, learning_rate=0.5, weight_decay=decay, temperature=heat)
    overlaps = make_overlaps(problem)
    overlaps = mf.Overlaps(overlaps.Q, overlaps.M, overlaps.P, np.zeros(3))
    shrunk = math.exp(-decay * t)
    expected = shrunk**2 * overlaps.Q + (1 - shrunk**2) * heat * d / decay * np.eye(3)
    for sgd_noise in (True, False):
        final = mf.solve_overlaps(
            problem, overlaps, t, sgd_noise=sgd_noise, samples=64, rtol=1e-10, atol=1e-12
        ).final
        np.testing.assert_allclose(final.Q, expected, rtol=0, atol=1e-8)
        np.testing.assert_allclose(final.M, shrunk * overlaps.M, rtol=0, atol=1e-8)


def test_an_idle_second_layer_decays():
    problem = mf.Problem(
        mf.CommitteeTarget(k=1, weights=[0.0]), "sine", 30,
        second_layer_rate=2.0, second_layer_decay=0.3,
    )  # fmt: skip
    start = mf.Overlaps([[0.0]], [[0.0]], [[1.0]], [1.5])  # σ(0) = 0: no drift
    final = mf.solve_overlaps(problem, start, 2.0, rtol=1e-10).final
    assert final.a[0] == pytest.approx(1.5 * math.exp(-2.0 * 0.3 * 2.0), rel=1e-8)


def test_on_the_sphere_decay_does_nothing_and_noise_turns_weights():
    def velocity(**rates):
        problem = mf.Problem(COMMITTEE, "tanh", 50, learning_rate=0.5, **rates)
        return mf.overlap_velocity(problem, make_overlaps(problem, unit=True), spherical=True,
                                   samples=256)  # fmt: skip

    free, decayed, hot = velocity(), velocity(weight_decay=1.0), velocity(temperature=0.01)
    overlaps = make_overlaps(mf.Problem(COMMITTEE, "tanh", 50), unit=True)
    np.testing.assert_allclose(decayed.Q, free.Q, rtol=0, atol=1e-13)
    np.testing.assert_allclose(decayed.M, free.M, rtol=0, atol=1e-13)
    # |w|²/d would gain 2τd = 1: rows shrink by half of it, the diagonal stands still
    np.testing.assert_allclose(np.diag(hot.Q), 0.0, atol=1e-13)
    np.testing.assert_allclose(hot.M - free.M, -0.5 * overlaps.M, rtol=0, atol=1e-13)


@pytest.mark.parametrize("method", ["closed", "sampled"])
def test_a_batch_divides_the_noise(method):
    problem = mf.Problem(mf.CommitteeTarget(k=2, noise=0.3), "erf", 50, learning_rate=1.0)
    overlaps = make_overlaps(problem)
    options = {"noise_method": method, "samples": 256}
    free = mf.overlap_velocity(problem, overlaps, sgd_noise=False).Q
    one = mf.overlap_velocity(problem, overlaps, **options).Q
    four = mf.overlap_velocity(problem, overlaps, batch_size=4, **options).Q
    np.testing.assert_allclose(four - free, (one - free) / 4, rtol=0, atol=1e-13)


@pytest.mark.parametrize("student", ["tanh", SWISH], ids=str)
def test_results_do_not_depend_on_the_number_of_threads(student):
    for target in (COMMITTEE, STAIRCASE):
        problem = mf.Problem(target, student, 50, learning_rate=0.5, second_layer_rate=1.0)
        overlaps = make_overlaps(problem, 12)
        one, two = (
            mf.solve_overlaps(problem, overlaps, 0.05, save_at=2, samples=256, threads=threads)
            for threads in (1, 2)
        )
        assert one == two and one.t[-1] == 0.05  # 256 samples: the status says how little that is


def test_a_temperature_needs_a_finite_dimension():
    problem = mf.Problem(mf.CommitteeTarget(k=1), temperature=0.1)
    with pytest.raises(ValueError, match="finite dim"):
        mf.solve_overlaps(problem, mf.Overlaps([[1.0]], [[0.0]], [[1.0]], [1.0]), 1.0)
