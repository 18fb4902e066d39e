"""Hermite series against closed forms, the definition and each other."""

import math

import numpy as np
import pytest

import meanfield as mf
from meanfield.fields.pairs.series import SeriesField
from meanfield.fields.pairs.series_sums import UnitTable, recurrence_steps
from meanfield.fields.quadrature.field import DirectField
from meanfield.fields.slices.field import SliceField
from meanfield.gaussian.hermite_coefficients import coefficients
from meanfield.gaussian.rules import sphere_coordinate_rule
from tests.fields.cases import make_measure, make_problem, relative_errors, velocity
from tests.reference import mean_field as twin


def prepared(kind, problem, measure, **options):
    field = kind(problem, **options)
    field.prepare(measure)
    return field


def miss(field, expected, measure):
    """Largest deviation of du and dr over their root mean square."""
    _, du, dr = velocity(field, measure)
    size_u = math.sqrt((expected.du**2).sum(axis=1).mean())
    size_r = math.sqrt((expected.dr**2).mean())
    return max(np.abs(du - expected.du).max() / size_u, np.abs(dr - expected.dr).max() / size_r)


def test_coefficients_are_those_of_known_functions():
    """erf has h_1² closed; a Hermite polynomial has one coefficient; a kink costs nothing."""
    root = np.array([0.3, 1.0, 2.5])
    h, s = coefficients(mf.activations.get_activation("erf"), root, 8)
    slope = math.sqrt(2.0 / math.pi) / np.sqrt(1.0 + root**2)
    np.testing.assert_allclose(h[:, 1], root * slope, rtol=1e-13)
    np.testing.assert_allclose(s[:, 0], slope, rtol=1e-13)
    np.testing.assert_allclose(s[:, 2] * root, math.sqrt(3.0) * h[:, 3], atol=1e-14)
    h, _ = coefficients(mf.activations.get_activation("hermite3"), np.ones(1), 6)
    np.testing.assert_allclose(h[0], np.eye(6)[3], atol=1e-12)
    h, _ = coefficients(mf.activations.get_activation("relu"), np.full(1, 2.0), 4)
    root_two_pi = math.sqrt(2.0 * math.pi)
    expected = [2.0 / root_two_pi, 1.0, 2.0 / root_two_pi / math.sqrt(2.0), 0.0]
    np.testing.assert_allclose(h[0], expected, atol=1e-12)


@pytest.mark.parametrize(("k", "D"), [(1, 2), (2, math.inf), (3, 99), (8, math.inf)])
def test_closed_forms(k, D):
    gram = np.eye(k) if k > 3 else None
    problem = make_problem("erf", "erf", k=k, D=D, gram=gram)
    measure = make_measure(k, n=60, scale=0.6)
    field = prepared(SeriesField, problem, measure)
    assert max(relative_errors(field, problem, measure)) < 1e-8
    expected = twin.flow(problem, measure.a, measure.u, measure.r)
    assert miss(field, expected, measure) < 3.0 * field.worst + 1e-9 < 3e-8
    parts = field.variance_parts(*measure.arrays())
    np.testing.assert_allclose(parts, expected.variance_parts, rtol=1e-6, atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("D", [5, math.inf])
@pytest.mark.parametrize(
    ("sigma", "target"),
    [
        ("tanh", mf.CommitteeTarget(1, "softplus", gram=[[1.3]])),
        ("gelu", mf.targets.staircase(2)),
        ("softplus", mf.targets.parity(2)),
        ("sine", mf.targets.hermite_link(3)),
        ("hermite3", mf.CommitteeTarget(2, "tanh", weights=[1.0, -0.5])),
    ],
)
def test_the_definition(sigma, target, D):
    problem = mf.Problem(target, sigma, D + target.k, second_layer_rate=0.7)
    measure = make_measure(target.k, n=3, scale=0.4)
    expected = twin.definition(problem, measure.a, measure.u, measure.r, nodes=32)
    for kind in (SeriesField, DirectField):
        field = prepared(kind, problem, measure)
        assert miss(field, expected, measure) < 1e-5, (kind.name, field.worst)
        da, _, _ = velocity(field, measure)
        np.testing.assert_allclose(da, expected.da, rtol=0, atol=1e-6)
        risk = field.risk(*measure.arrays())
        assert math.isclose(risk, expected.risk, rel_tol=3e-5)


def test_the_error_estimate_is_one():
    """Far neurons want more terms than few; what is missing shows."""
    problem, measure = make_problem("erf", "erf", k=2, D=math.inf), make_measure(2, n=60, scale=2.0)
    expected = twin.flow(problem, measure.a, measure.u, measure.r)
    field = prepared(SeriesField, problem, measure)
    field.terms = 32
    error, worst = field.error_estimate(measure), miss(field, expected, measure)
    assert worst > 1e-4
    assert worst / 4 < error < 4 * worst


def test_what_has_no_series_is_refused():
    for problem in (
        make_problem("relu"),
        mf.Problem(mf.MultiIndexTarget(lambda z: np.abs(z[:, 0]), k=1), "tanh", 9),
    ):
        assert not SeriesField.serves(problem)
        with pytest.raises(ValueError, match="series"):
            SeriesField(problem)


def test_neurons_beyond_every_table_give_nan():
    problem, measure = make_problem("erf"), make_measure(1, n=4)
    field = prepared(SeriesField, problem, measure)
    far = mf.ParticleMeasure(measure.a, 1e200 * measure.u, measure.r)
    with np.errstate(over="ignore", invalid="ignore"):
        assert np.isnan(velocity(field, far)[1]).all()


@pytest.mark.parametrize("kind", [SeriesField, DirectField])
def test_a_velocity_that_vanishes_by_symmetry_is_known_well(kind):
    """At u = 0 a parity pushes nobody: rounding is no error relative to nothing."""
    problem = mf.Problem(mf.targets.parity(3), "softplus", math.inf)
    start = mf.ParticleMeasure([1.0, -1.0], np.zeros((2, 3)), [1.0, 1.0])
    field = prepared(kind, problem, start)
    assert field.worst <= field.tolerance
    assert np.abs(velocity(field, start)[1]).max() < 1e-12


def test_terms_grow_with_the_neurons():
    problem, measure = make_problem("tanh", "tanh", k=1, D=math.inf), make_measure(1, n=20)
    field = prepared(SeriesField, problem, measure)
    before = field.terms
    larger = mf.ParticleMeasure(measure.a, 2.0 * measure.u, 2.0 * measure.r)
    velocity(field, larger)
    assert field.terms > before and field.worst <= field.tolerance


@pytest.mark.parametrize("sigma", ["tanh", "softplus", "gelu"])
def test_finite_dimensions_tend_to_infinity_at_the_rate_one_over_d(sigma):
    measure, gaps = make_measure(2, n=20, scale=0.7), []
    _, limit_u, limit_r = (
        np.asarray(part)
        for part in mf.mean_field_velocity(mf.Problem(mf.targets.staircase(2), sigma), measure)
    )
    for D in (50, 100, 200):
        problem = mf.Problem(mf.targets.staircase(2), sigma, D + 2)
        _, du, dr = mf.mean_field_velocity(problem, measure)
        gaps.append(max(np.abs(du - limit_u).max(), np.abs(dr - limit_r).max()))
    np.testing.assert_allclose(np.log2(np.divide(gaps[:-1], gaps[1:])), 1.0, atol=0.15)


def test_the_table_of_a_steep_function_is_made_for_its_strip():
    """tanh 20x, undeclared: its coefficients vary over 1/20; short neurons divide by their √q."""
    steep = mf.activations.custom(lambda x: np.tanh(20.0 * x))
    table = UnitTable(steep, 5.0, 16)
    root = np.array([1e-6, 1e-3, 0.013, 0.2, 3.3])
    for found, wanted in zip(table.at(root), coefficients(steep, root, 17), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-9)


@pytest.mark.parametrize("D", [1, 2, 3, 8, 60, math.inf])
def test_powers_of_a_correlation_average_by_recurrence(D):
    """P_m and P⁺_m against a rule over Z, for correlations on either side of A² = B²."""
    terms = 40
    step, (Z, w) = recurrence_steps(D, terms), sphere_coordinate_rule(D, 64)
    for A, B in ((0.7, 0.3), (0.3, -0.7), (0.0, 1.0), (0.5, 0.5), (-0.9, 0.0)):
        P, before, plus, before_plus = 1.0, 0.0, 0.0, 0.0
        for m in range(terms):
            power = (A + B * Z) ** m
            assert math.isclose(P, float(w @ power), rel_tol=1e-11, abs_tol=1e-15)
            over = 0.0 if math.isinf(D) else m * B / D
            assert math.isclose(over * plus, float(w @ (Z * power)), rel_tol=1e-10, abs_tol=1e-15)
            P, before = step[0, m] * A * P + step[1, m] * (B * B - A * A) * before, P
            following = step[2, m] * A * plus + step[3, m] * (B * B - A * A) * before_plus
            plus, before_plus = (1.0 if m == 0 else following), plus


@pytest.mark.parametrize("sigma", ["gelu", "tanh"])
def test_long_neurons_in_few_dimensions(sigma):
    """Series against slices, which know nothing of pairs."""
    problem = mf.Problem(mf.CommitteeTarget(1, "softplus", weights=[6.0]), sigma, 3)
    measure = mf.gaussian_measure(problem, 30, scale=1.3, seed=1)
    field = prepared(SeriesField, problem, measure)
    slices = prepared(SliceField, problem, measure)
    found, expected = velocity(field, measure), velocity(slices, measure)
    for mine, theirs in zip(found[1:], expected[1:], strict=True):
        off = np.abs(mine - theirs).max() / np.sqrt((theirs**2).mean())
        assert off < 1.5 * (field.worst + slices.worst) < 1e-6


def test_neurons_that_outgrow_what_they_start_from_still_end():
    """gelu under six times a softplus at d = 3: lengths double, and the terms with them."""
    target = mf.CommitteeTarget(k=1, activation="softplus", weights=[6.0])
    problem = mf.Problem(target, "gelu", 3, second_layer_rate=1.0)
    run = mf.solve_mean_field(problem, mf.gaussian_measure(problem, 24, seed=0), 5.0, 2)
    assert run.status is mf.Status.SUCCESS and run.stats["field_error"] < 1e-5
    assert run.stats["field"] == "series" and run.stats["terms"] > 128
    assert run.stats["rhs_evaluations"] < 1000
