"""Direct sums over nodes: any activation, any target, any k, with an error that holds."""

import math

import numpy as np
import pytest
from scipy.special import erf

import meanfield as mf
from meanfield.fields import choose_field
from meanfield.fields.pairs.series import SeriesField
from meanfield.fields.quadrature import inputs
from meanfield.fields.quadrature.average_tables import Tables
from meanfield.fields.quadrature.field import DirectField
from meanfield.gaussian.rules import chi_rule, panel_rule
from meanfield.kernels.threads import thread_limit
from tests.fields.cases import make_measure, make_problem, velocity
from tests.fields.pairs.test_series import miss, prepared
from tests.reference import mean_field as twin


@pytest.mark.parametrize(
    ("sigma", "k", "D"),
    [
        ("erf", 1, math.inf),
        ("erf", 2, math.inf),
        ("erf", 1, 30),
        ("relu", 1, math.inf),
        ("relu", 1, 30),
        ("relu", 2, math.inf),
        ("erf", 5, math.inf),
        ("relu", 3, 200),
    ],
)
def test_closed_forms(sigma, k, D):
    problem = make_problem(sigma, "erf", k=k, D=D, gram=np.eye(k))
    measure = make_measure(k, n=40, scale=0.6)
    field = prepared(DirectField, problem, measure)
    expected = twin.flow(problem, measure.a, measure.u, measure.r)
    worst = miss(field, expected, measure)
    assert field.worst <= field.tolerance
    assert worst < 4.0 * field.worst + 1e-9
    assert field.worst < 30.0 * worst + 1e-9
    risk = field.risk(*measure.arrays())
    assert abs(risk - expected.risk) < max(1e-8, 0.1 * field.worst) * (1.0 + expected.risk)


@pytest.mark.parametrize("D", [7, math.inf])
def test_leaky_relu_with_a_target_of_a_users_own(D):
    """Against sums over finer nodes, neuron by neuron."""
    target = mf.MultiIndexTarget(lambda z: np.tanh(z[:, 0]) ** 2, k=1)
    problem, measure = mf.Problem(target, "leaky_relu", D + 1), make_measure(1, n=5, scale=0.5)
    field = prepared(DirectField, problem, measure)
    assert field.worst <= 1e-5
    leaky = problem.student
    rho, w_rho = (np.ones(1), np.ones(1)) if D == math.inf else chi_rule(D, 60)
    rule = inputs.graded_rule(math.inf, 100, 1)
    v, s = np.outer(measure.u[:, 0], rule.z[0]), np.outer(measure.r, rho)
    g0 = leaky.average(v[:, :, None], s[:, None, :], D)
    g1, g2 = leaky.average_slopes(v[:, :, None], s[:, None, :], D)
    epsilon = target(rule.z.T)[:, None] - np.tensordot(measure.a / 5, g0, 1)
    charge = epsilon * np.outer(rule.weight, w_rho)
    du = measure.a[:, None] * (g1 * charge).sum(axis=2) @ rule.z.T
    dr = measure.a * (g2 * charge * rho).sum(axis=(1, 2))
    assert miss(field, twin.Flow(None, du, dr, 0.0, (0.0, 0.0)), measure) < 1e-5


@pytest.mark.slow
def test_a_committee_written_by_hand_is_a_committee():
    committee = mf.CommitteeTarget(2, "tanh", weights=[1.0, -0.5])
    by_hand = mf.MultiIndexTarget(lambda z: 0.5 * (np.tanh(z[:, 0]) - 0.5 * np.tanh(z[:, 1])), k=2)
    measure = make_measure(2, n=30, scale=0.5)
    fields = [
        prepared(kind, mf.Problem(target, "gelu", 12, second_layer_rate=1.0), measure)
        for kind, target in ((SeriesField, committee), (DirectField, by_hand))
    ]
    assert choose_field(fields[1].problem, measure).name in ("quadrature", "slices")
    for mine, theirs in zip(*(velocity(field, measure) for field in fields), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("k", [4, 6])
def test_many_directions(k):
    """The staircase and its like by series, to rounding; anything else by Sobol points."""
    measure = make_measure(k, n=30, scale=0.4)
    smooth = mf.MultiIndexTarget(lambda z: np.tanh(z.sum(axis=1)) + 0.1 * z[:, 0] * z[:, 1], k=k)
    steps = mf.targets.staircase(k)
    field = choose_field(mf.Problem(steps, "tanh", math.inf), measure)
    assert field.name == "series" and field.worst < 1e-8
    field = choose_field(mf.Problem(smooth, "tanh", math.inf), measure)
    assert field.description()["rule"] == "sobol"
    assert 1e-5 < field.worst < 3e-2
    finer = prepared(DirectField, mf.Problem(smooth, "tanh", math.inf), measure, tolerance=1e-9)
    _, du, dr = velocity(finer, measure)
    expected = twin.Flow(None, du, dr, 0.0, (0.0, 0.0))
    assert finer.worst < 1.2 * field.worst
    assert miss(field, expected, measure) < 3.0 * field.worst


def test_table_and_its_derivatives():
    """What the kernels read between grid points, against the averages themselves."""
    tanh = mf.activations.get_activation("tanh")
    u, r = np.array([[2.0], [0.1], [1.0]]), np.array([0.0, 3.0, 0.7])
    z = np.linspace(-6.0, 6.0, 41)[None, :]
    for D in (4, math.inf):
        rule = inputs.InputRule("tensor", 41, z, np.ones(41), np.array([1.3]), np.ones(1))
        problem = mf.Problem(mf.CommitteeTarget(1), tanh, D + 1)
        field = DirectField(problem)
        field._set_rule_and_table(rule, u, r)
        field.values = np.zeros(41)
        for i in range(3):
            one = np.ones(1), u[i : i + 1], r[i : i + 1]
            epsilon, _ = field._epsilon(*one, rule)
            exact = tanh.average(u[i] * z[0], r[i] * 1.3, D)
            np.testing.assert_allclose(-epsilon[0], exact, rtol=0, atol=1e-9)


def test_a_table_grows_with_its_neurons_and_gives_up_in_the_end():
    tables = Tables(mf.activations.get_activation("tanh"), math.inf)
    rule = inputs.tensor_rule(1, math.inf, 20, 1)
    near = tables.covering(np.array([[1.0]]), np.ones(1), rule)
    assert tables.covering(np.array([[1.1]]), np.ones(1), rule) is near
    assert tables.covering(np.array([[9.0]]), np.ones(1), rule) is not near
    for far in (1e9, math.inf, math.nan):
        with pytest.raises(FloatingPointError):
            tables.covering(np.array([[far]]), np.ones(1), rule)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_tensor_rules_have_the_moments_of_a_gaussian(k):
    rule = inputs.tensor_rule(k, math.inf, 24, 1)
    assert math.isclose(rule.weight.sum(), 1.0, rel_tol=1e-14)
    assert rule.nodes < 24**k or k == 1
    np.testing.assert_allclose((rule.z**2) @ rule.weight, 1.0, rtol=1e-12)
    np.testing.assert_allclose((rule.z**4) @ rule.weight, 3.0, rtol=1e-9)
    np.testing.assert_allclose(
        (rule.z[0] * rule.z[-1] ** 3) @ rule.weight, 3.0 * (k == 1), atol=1e-9
    )


def test_sobol_rules_are_exact_to_second_order_and_differ_by_seed():
    one, other = (inputs.sobol_rule(6, math.inf, 10, 1, seed) for seed in (0, 1))
    for rule in (one, other):
        np.testing.assert_allclose(rule.z @ rule.weight, 0.0, atol=1e-13)
        np.testing.assert_allclose((rule.z * rule.weight) @ rule.z.T, np.eye(6), atol=1e-12)
    assert not np.allclose(one.z, other.z)


def test_threads_change_nothing():
    problem = mf.Problem(mf.targets.staircase(4), "tanh", math.inf, second_layer_rate=1.0)
    measure = make_measure(4, n=30, scale=0.5)
    for kind in (DirectField, SeriesField):
        found = []
        for threads in (1, 2):
            with thread_limit(threads):
                field = prepared(kind, problem, measure, tolerance=1e-2)
                found.append([*velocity(field, measure), field.risk(*measure.arrays())])
        assert all(np.array_equal(one, two) for one, two in zip(*found, strict=True))


@pytest.mark.parametrize("kind", [DirectField, SeriesField])
def test_the_risk_falls_by_the_squared_velocity(kind):
    problem = mf.Problem(mf.targets.staircase(2), "softplus", 11, second_layer_rate=0.5)
    m = make_measure(2, n=20, scale=0.5)
    field = prepared(kind, problem, m)
    da, du, dr = velocity(field, m)
    h = 1e-4
    up, down = (field.risk(m.a + s * da, m.u + s * du, m.r + s * dr) for s in (h, -h))
    expected = -((du**2).sum(axis=1) + dr**2 + da**2 / 0.5).mean()
    assert math.isclose((up - down) / (2 * h), expected, rel_tol=1e-6)


def test_neurons_that_are_not_finite_give_nan():
    problem, measure = make_problem("erf", k=1, D=math.inf), make_measure(1, n=4)
    field = prepared(DirectField, problem, measure)
    far = mf.ParticleMeasure(measure.a, 1e200 * measure.u, measure.r)
    with np.errstate(over="ignore", invalid="ignore"):
        assert np.isnan(velocity(field, far)[1]).all()


def test_the_error_estimate_sees_the_risk_and_the_second_layer():
    """A target even in z moves no odd student, while its energy wants nodes all the same."""
    target = mf.MultiIndexTarget(lambda z: np.tanh(z[:, 0] - z[:, 1]) * z[:, 0], k=2)
    for sigma, kappa in (("hermite3", 0.0), ("sigmoid", 1.0)):
        problem = mf.Problem(target, sigma, math.inf, second_layer_rate=kappa)
        measure = make_measure(2, n=10, scale=0.5)
        field = prepared(DirectField, problem, measure)
        fine = prepared(DirectField, problem, measure)
        fine._set_rule_and_table(inputs.tensor_rule(2, math.inf, 180, 1), measure.u, measure.r)
        gap = abs(field.risk(*measure.arrays()) - fine.risk(*measure.arrays()))
        assert gap < 1e-7
        for one, other in zip(velocity(field, measure), velocity(fine, measure), strict=True):
            if kappa > 0.0 or not np.isnan(one).any():
                np.testing.assert_allclose(one, other, rtol=0, atol=1e-7)


def test_nodes_grow_with_the_neurons():
    problem = mf.Problem(mf.targets.staircase(2), "tanh", math.inf)
    measure = make_measure(2, n=10, scale=0.4)
    field = prepared(DirectField, problem, measure)
    before = field.rule.nodes
    larger = mf.ParticleMeasure(measure.a, 2.0 * measure.u, measure.r)
    velocity(field, larger)
    assert field.rule.nodes > before
    assert field.error_estimate(larger) <= field.tolerance


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("r", [0.0, 0.5])
def test_kinks_of_a_function_of_one_coordinate_are_found(smooth, r):
    """Declared or not; against panels that end there."""

    def bent(z):
        return np.maximum(z[:, 0] - 0.63, 0.0) + np.abs(z[:, 0] + 1.1)

    problem = mf.Problem(mf.MultiIndexTarget(bent, k=1, smooth=smooth), "erf")
    measure = mf.ParticleMeasure([1.0, -1.0], [[0.7], [1.2]], [r, r])
    field = DirectField(problem, tolerance=1e-9)
    field.prepare(measure)
    x, w = panel_rule(np.array([-9.0, -5.0, -3.0, -2.0, -1.1, 0.0, 0.63, 2.0, 3.0, 5.0, 9.0]), 40)
    w = w * np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
    s = np.sqrt(1.0 + r * r)
    a, u = measure.a, measure.u[:, 0]
    mean = erf(np.outer(u, x) / (math.sqrt(2.0) * s))
    epsilon = w * (bent(x[:, None]) - a @ mean / 2.0)
    slope = math.sqrt(2.0 / math.pi) / s * np.exp(-0.5 * (np.outer(u, x) / s) ** 2)
    _, du, _ = velocity(field, measure)
    np.testing.assert_allclose(du[:, 0], a * (slope @ (epsilon * x)), atol=1e-9)
    assert field.error_estimate(measure) < 1e-8
