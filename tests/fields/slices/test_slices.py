"""The field through meshes against the twin and against pairs."""

import math

import numpy as np
import pytest

import meanfield as mf
from meanfield.activations import custom
from meanfield.fields import choose_field
from meanfield.fields.pairs.closed import PairField
from meanfield.fields.slices import field as slices
from meanfield.fields.slices import layouts
from meanfield.fields.slices.field import SliceField
from meanfield.targets import LinkUnits
from meanfield.targets.potentials.units import LinkRules
from tests.fields.cases import (
    ACTIVATIONS,
    DIMENSIONS,
    allowed,
    make_measure,
    make_problem,
    relative_errors,
    velocity,
)
from tests.reference import mean_field as twin
from tests.reference import nodes


def prepared(problem, measure):
    field = SliceField(problem)
    field.prepare(measure)
    return field


def largest_error(field, problem, measure):
    """Over all neurons, against the rms velocity, for u and r apart."""
    expected = twin.flow(problem, measure.a, measure.u, measure.r)
    _, du, dr = velocity(field, measure)
    size_u = math.sqrt((expected.du**2).sum(axis=1).mean())
    size_r = math.sqrt((expected.dr**2).mean())
    return max(
        np.sqrt(((du - expected.du) ** 2).sum(axis=1)).max() / size_u,
        np.abs(dr - expected.dr).max() / size_r,
    )


@pytest.mark.parametrize("D", DIMENSIONS)
@pytest.mark.parametrize(("scale", "tau"), [(0.1, "relu"), (1.0, "erf")])
def test_one_direction_erf(scale, tau, D):
    problem, measure = make_problem("erf", tau, D=D), make_measure(1, scale=scale)
    field = prepared(problem, measure)
    assert max(relative_errors(field, problem, measure)) < 1e-8
    worst = largest_error(field, problem, measure)
    assert worst < 1e-7
    assert worst / 10 < field.error_estimate(measure) < 10 * worst


@pytest.mark.parametrize("D", DIMENSIONS)
def test_one_direction_relu(D):
    tau = ACTIVATIONS[DIMENSIONS.index(D) % 3]
    problem, measure = make_problem("relu", tau, D=D), make_measure(1)
    field = prepared(problem, measure)
    assert max(relative_errors(field, problem, measure)) < 1e-5
    assert largest_error(field, problem, measure) < 1e-5
    assert field.error_estimate(measure) < 1e-5


@pytest.mark.parametrize(("k", "D", "n"), [(2, 2, 50), (2, 99, 200), (2, math.inf, 200)])
def test_several_directions(k, D, n):
    problem, measure = make_problem(k=k, D=D), make_measure(k, n=n, scale=0.5)
    field = prepared(problem, measure)
    assert max(relative_errors(field, problem, measure)) < 1e-8
    worst = largest_error(field, problem, measure)
    assert worst < 1e-7
    assert worst / 10 < field.error_estimate(measure) < 10 * worst


@pytest.mark.parametrize(
    ("sigma", "k", "D", "tolerance"),
    [("gelu", 1, 9, 1e-9), ("sigmoid", 1, math.inf, 1e-9), ("tanh", 1, 99, 1e-7),
     ("tanh", 2, math.inf, 1e-7), ("gelu", 2, math.inf, 1e-8), ("gelu", 3, math.inf, 1e-8),
     ("leaky_relu", 1, 99, 1e-9)],
)  # fmt: skip
def test_any_student(sigma, k, D, tolerance):
    """Odd or not: against every neuron at every node."""
    target = mf.CommitteeTarget(k=k, activation="tanh")
    problem = mf.Problem(target, sigma, D + k)
    m = make_measure(k, n=8 if k == 3 else 30, scale=0.5)
    if not problem.student.smooth:  # kinks are more than the twin's rule can hold
        m = mf.ParticleMeasure(m.a, m.u, m.r + 0.3)
    field = prepared(problem, m)
    _, du, dr = velocity(field, m)
    expected_u, expected_r = nodes.velocities(problem, m.a, m.u, m.r, nodes=64 if k == 3 else 100)
    worst = max(
        np.abs(du - expected_u).max() / np.sqrt((expected_u**2).sum(axis=1).mean()),
        np.abs(dr - expected_r).max() / np.sqrt((expected_r**2).mean()),
    )
    assert worst < tolerance
    assert field.error_estimate(m) > worst / 2


def test_three_directions():
    problem, measure = make_problem(k=3, D=math.inf), make_measure(3, n=40, scale=0.3)
    field = SliceField(problem)
    assert max(relative_errors(field, problem, measure)) < 1e-7
    assert field.error_estimate(measure) < 1e-7


def test_kinks_in_several_directions_are_estimated_not_hidden():
    """ReLU, k = 2: slices converge slowly there; the estimate says so."""
    problem, measure = make_problem("relu", k=2, D=math.inf), make_measure(2, n=300)
    field = prepared(problem, measure)
    estimate, worst = field.error_estimate(measure), largest_error(field, problem, measure)
    assert 1e-5 < worst < 0.1
    assert worst / 10 < estimate < 10 * worst


@pytest.mark.parametrize("D", [1, 5, 99, 10**6, math.inf])
@pytest.mark.parametrize("sigma", ["erf", "relu"])
def test_variance_parts_agree_with_pairs(sigma, D):
    problem, measure = make_problem(sigma, D=D), make_measure(1, n=100)
    outside, total = prepared(problem, measure).variance_parts(*measure.arrays())
    pairs = PairField(problem)
    pairs.prepare(measure)
    exact = pairs.variance_parts(*measure.arrays())
    assert math.isclose(total, exact[1], rel_tol=allowed(sigma))
    tolerance = 1e-6 if sigma == "erf" else 1e-4
    assert math.isclose(outside, exact[0], rel_tol=tolerance, abs_tol=1e-15)


def test_variance_parts_in_two_directions():
    problem, measure = make_problem(k=2, D=30), make_measure(2, n=50, scale=0.5)
    found, expected = (
        field.variance_parts(*measure.arrays())
        for field in (choose_field(problem, measure, name) for name in ("slices", "pairs"))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("sigma", ["erf", "relu"])
def test_invariances(sigma):
    """Neurons renamed and r mirrored, on the same layout."""
    problem, m = make_problem(sigma, k=2, D=math.inf), make_measure(2, n=60, scale=0.5)
    field = SliceField(problem)
    before = velocity(field, m)
    order = np.random.default_rng(0).permutation(m.n)
    after = velocity(field, mf.ParticleMeasure(m.a[order], m.u[order], m.r[order]))
    sign = np.where(np.arange(m.n) % 3 == 0, -1.0, 1.0)
    mirrored = [np.zeros(m.n), np.zeros((m.n, 2)), np.zeros(m.n)]
    a, u, r = m.arrays()
    field.velocity(a, u, sign * r, *mirrored)
    mirrored[2] *= sign
    for one, renamed, other in zip(before, after, mirrored, strict=True):
        np.testing.assert_allclose(renamed, one[order], rtol=0, atol=1e-13)
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-13)


def test_neurons_that_leave_the_mesh_get_a_larger_one():
    problem, m = make_problem(D=5), make_measure(1, n=50, scale=0.2)
    field = prepared(problem, m)
    before = field.description()
    away = mf.ParticleMeasure(m.a, 6.0 * m.u, 6.0 * m.r)
    assert max(relative_errors(field, problem, away)) < 1e-7
    after = field.description()
    assert after["layouts"] == before["layouts"] + 1
    assert after["mesh_points"] > before["mesh_points"]


def test_neurons_that_are_not_finite_have_no_velocity():
    m = make_measure(1, n=20, scale=0.2)
    for sigma in ("erf", "relu"):
        field = prepared(make_problem(sigma), m)
        out = [np.zeros(20), np.zeros((20, 1)), np.zeros(20)]
        a, u, r = m.arrays()
        u[3] = np.nan
        field.velocity(a, u, r, *out)
        assert all(np.isnan(part).all() for part in out)
        assert not field.outgrown(a, u, r)  # no layout would serve


def test_a_layout_too_large_for_memory_is_coarsened(monkeypatch):
    problem, m = make_problem(D=5), make_measure(1, n=50)
    fine = prepared(problem, m).description()["mesh_points"]
    monkeypatch.setattr(layouts, "MATRIX_BYTES", 2**21)
    field = prepared(problem, m)
    assert field.description()["mesh_points"] < fine
    assert field.level < 0 and field.worst > field.tolerance


def test_the_risk_stays_accurate_when_it_is_small():
    """All neurons at the target: a difference of three terms would leave some 1e-16."""
    problem = mf.Problem(mf.CommitteeTarget(k=1), "erf", math.inf)
    shift = 1e-7 * np.linspace(-1.0, 1.0, 50)[:, None] + 1e-7
    a, u, r = np.ones(50), 1.0 + shift, np.zeros(50)
    field = prepared(problem, mf.ParticleMeasure(a, u, r))
    # f − f* = 1e-7 z σ'(z), and E z² σ'(z)² = (2/π) 3^(-3/2)
    expected = 0.5e-14 * (2.0 / math.pi) * 3.0**-1.5
    assert math.isclose(field.risk(a, u, r), expected, rel_tol=0.01)


HALF = custom(lambda x: 0.5 * np.abs(x), name="half", kinks=(0.0,))


def potential_by_rules(units, student, u, r):
    """E f* σ(λ) and its slopes, of f* a sum of links over units: a rule over each."""
    parts = [
        LinkRules(student, LinkUnits(link, np.array([b]), np.ones(1)))(u, r) for b, link in units
    ]
    return [sum(pieces) for pieces in zip(*parts, strict=True)]


def test_a_kinked_target_of_three_coordinates():
    """The rule on directions lies skew to the kink: with Lebedev's it was off by 6e-5."""
    target = mf.MultiIndexTarget(lambda z: np.maximum(z[:, 0], z[:, 1]), 3, smooth=False)
    problem = mf.Problem(target, "gelu", math.inf)
    units = [([1.0, -1.0, 0.0], HALF), ([0.5, 0.5, 0.0], mf.activations.hermite(1))]
    u, r = np.array([[0.9, -0.5, 0.3], [1.0, 1.0, 0.0]]), np.array([0.2, 0.0])
    layout = layouts.lay_out(problem, 2.0, 1.3, 0)
    found = np.empty(2), np.empty((2, 3)), np.empty(2)
    layout.velocity(layout.nodes.target, np.ones(2), u, r, 1.0, found)
    for one, other in zip(found, potential_by_rules(units, problem.student, u, r), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


@pytest.mark.parametrize("crowded", [False, True])
def test_what_is_stated_under_a_kinked_target(crowded, monkeypatch):
    """At least the true error; against a coarser layout where a finer one has no room."""
    target = mf.MultiIndexTarget(lambda z: 0.5 * np.abs(z[:, 0] + 0.37 * z[:, 1]), 2, smooth=False)
    problem = mf.Problem(target, "gelu", math.inf)
    rng = np.random.default_rng(2)
    u, r = rng.standard_normal((12, 2)), np.full(12, 0.2)
    measure = mf.ParticleMeasure(np.full(12, 1e-9), u, r)  # too light to make a field
    field = SliceField(problem)
    field.mass = None
    field._cover(measure.u, measure.r)
    if crowded:
        monkeypatch.setattr(
            slices, "lay_out", lambda *args: None if args[-1] > 0 else layouts.lay_out(*args)
        )
    stated = field.error_estimate(measure)
    found = velocity(field, measure)[1] / 1e-9
    exact = potential_by_rules([([1.0, 0.37], HALF)], problem.student, u, r)[1]
    size = math.sqrt((exact**2).sum(axis=1).mean())
    true = math.sqrt(((found - exact) ** 2).sum(axis=1).max()) / size
    assert true > 1e-7 and true / 1.5 < stated < 1e-2


def test_a_rule_that_misses_the_target_is_found_out():
    """Both layouts miss a steep target alike; quadrature made for each neuron does not."""
    target = mf.CommitteeTarget(2, "tanh", gram=[[900.0, 0.0], [0.0, 1.0]])
    problem = mf.Problem(target, "tanh", math.inf)
    measure = make_measure(2, n=10, scale=0.3)
    field = SliceField(problem)
    field.mass = None
    field._cover(measure.u, measure.r)
    field.other = field.layout, field.level, field.layout  # another that shares every defect
    assert field.error_estimate(measure) > 1e-6
