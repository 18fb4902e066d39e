"""ReLU and leaky ReLU at k = 2 through the half-sphere, against exact pair sums."""

import math
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import meanfield as mf
from meanfield.fields.estimate import Velocities, relative_error
from meanfield.fields.hemisphere.field import HomogeneousField
from meanfield.fields.hemisphere.sphere_mesh import Fineness, Hemisphere
from meanfield.fields.pairs.closed import PairField
from meanfield.gaussian.rules import overlap_rule
from meanfield.kernels.threads import thread_limit
from meanfield.targets.potentials.units import ClosedPairs
from tests.fields.cases import make_measure, make_problem, velocity
from tests.fields.pairs.test_closed import LINKS

SCALES = {0.1: "erf", 1.0: "relu", 3.0: "square"}


def prepared(problem, measure, kind=HomogeneousField):
    field = kind(problem)
    field.prepare(measure)
    return field


def hard_measure(n, scale=1.0, seed=0):
    """All over; some at rest, in the plane, close to it, at the pole, close to it."""
    m = make_measure(2, n, scale, seed)
    u, r = np.array(m.u), np.array(m.r)
    r[:5], r[5:10], u[10:15] = 0.0, 1e-9, 0.0
    r[15:20] *= 1e-3
    u[20:25] *= 1e-7
    u[25], r[25] = 0.0, 0.0
    return mf.ParticleMeasure(m.a, u, r)


def cluster(n, u, r, width, seed=0):
    """Neurons that crowd around one, within a width."""
    rng = np.random.default_rng(seed)
    points = np.array(u) + width * rng.standard_normal((n, 2))
    return mf.ParticleMeasure(np.ones(n), points, np.abs(r + width * rng.standard_normal(n)))


def errors(field, problem, measure):
    """Largest error of da, over all neurons and over the largest, and of all three as stated."""
    exact = Velocities(*velocity(prepared(problem, measure, PairField), measure))
    miss = Velocities(*velocity(field, measure)).minus(exact)
    energy, rate = problem.target.second_moment(), problem.second_layer_rate
    stated = relative_error(miss, exact, measure.a, measure.mass, energy, rate, earlier=field.speed)
    return np.abs(miss.a).max() / np.abs(exact.a).max(), stated


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("D", [1, 2, 9, 99, math.inf])
def test_velocities_against_pairs(D, scale):
    problem, measure = make_problem("relu", SCALES[scale], k=2, D=D), hard_measure(600, scale)
    field = prepared(problem, measure)
    found = errors(field, problem, measure)
    assert max(found) < (2e-6 if D == 1 else 1e-7)
    assert found[1] < field.worst < (2e-6 if D == 1 else 1e-7)  # it holds for all neurons


@pytest.mark.parametrize("D", [1, 40, math.inf])
def test_risk_and_variances_against_pairs(D):
    problem, measure = make_problem("relu", k=2, D=D), hard_measure(400)
    field, exact = prepared(problem, measure), prepared(problem, measure, PairField)
    arrays = measure.arrays()
    assert abs(field.risk(*arrays) - exact.risk(*arrays)) < 1e-9
    outside, total = field.variance_parts(*arrays)
    expected = exact.variance_parts(*arrays)
    assert math.isclose(total, expected[1], rel_tol=1e-8)
    assert math.isclose(outside, expected[0], rel_tol=1e-7) and (outside == 0.0) == math.isinf(D)


@pytest.mark.parametrize("target", LINKS, ids=lambda target: target.title)
@pytest.mark.parametrize("sigma", ["relu", "leaky_relu(0.2)"])
def test_students_and_targets(sigma, target):
    problem = mf.Problem(target, sigma, 42, second_layer_rate=0.7)
    measure = hard_measure(100)
    assert max(errors(prepared(problem, measure), problem, measure)) < 1e-7


@pytest.mark.parametrize("D", [1, math.inf])
def test_crowds(D):
    """All neurons in a cell of the mesh, where it resolves kinks least; sizes are of order 1."""
    problem = make_problem("relu", k=2, D=D)
    for where in (((1.0, 0.3), 0.0, 1e-3), ((1.0, 0.3), 0.0, 1e-2), ((0.3, 0.3), 1.0, 1e-2)):
        measure = cluster(300, *where)
        field = prepared(problem, measure)
        assert errors(field, problem, measure)[1] < field.worst
        assert field.worst < (1e-4 if D == 1 else 4e-7)


def test_the_mesh_is_refined_where_neurons_come_to_crowd():
    problem = make_problem("relu", k=2, D=math.inf)
    start, end = make_measure(2, 1000), cluster(1000, (1.0, 0.3), 0.0, 1e-4)
    field = prepared(problem, start)
    assert field.level == 0
    velocity(field, start)
    assert field.level == 0
    assert errors(field, problem, end)[1] < 2e-7
    assert field.level > 0
    level = field.level
    velocity(field, start)  # and stays so
    assert field.level == level
    fresh = prepared(problem, start)
    fresh.restore(field.layout_state())
    for mine, theirs in zip(velocity(fresh, start), velocity(field, start), strict=True):
        assert mine.tobytes() == theirs.tobytes()


def test_errors_fall_with_the_eighth_power_and_slopes_with_the_seventh():
    """Of neurons in general position at d = ∞."""
    rng = np.random.default_rng(0)
    measure = mf.ParticleMeasure(
        np.ones(50), rng.standard_normal((50, 2)), 0.5 + rng.uniform(size=50)
    )
    problem = make_problem("relu", k=2, D=math.inf)
    exact = velocity(prepared(problem, measure, PairField), measure)
    widths, found = (0.16, 0.12, 0.09), []
    for width in widths:
        field = HomogeneousField(problem)
        rule = overlap_rule(math.inf, 1.0, smooth=False)
        field.mesh = Hemisphere(Fineness(width, 0.02, 512), rule)
        mine = velocity(field, measure)
        found.append(
            [float(np.sqrt(((x - y) ** 2).mean())) for x, y in zip(mine, exact, strict=True)]
        )
    value, along, across = np.polyfit(np.log(widths), np.log(found), 1)[0]
    assert 7.0 < value < 9.0 and 6.5 < across < 8.5 and 6.5 < along < 8.5, found


def test_between_points_of_the_mesh_it_is_the_kernel():
    """Circle by circle, with the same points: no error at all."""
    D = 9
    rule = overlap_rule(D, 1.0, smooth=False)
    mesh = Hemisphere(Fineness(0.3, 0.1, 64), rule)
    i = j = len(mesh.C) - 3
    size, start = mesh.rows.sizes[i], mesh.rows.starts[i]
    moments = np.zeros(mesh.points)
    moments[start + 3 + 10] = 1.0
    found = mesh.potential(moments)[start + 3 : start + 3 + size]
    for at in (3, 10, 40):
        c = mesh.C[i] * mesh.C[j] * math.cos(math.pi * (at - 10) / size)
        s = c + mesh.S[i] * mesh.S[j] * rule[0]
        assert math.isclose(
            found[at], rule[1] @ (np.sqrt(1 - s**2) + s * np.arcsin(s)), rel_tol=1e-13
        )


def test_an_error_just_found_is_not_looked_for_again(monkeypatch):
    """A run asks for that of its start, which laying out ends with: pairs are dear."""
    problem, measure, asked = make_problem("relu", k=2), make_measure(2, 100), []
    slopes = PairField.slopes
    monkeypatch.setattr(
        PairField, "slopes", lambda self, *args: asked.append(1) or slopes(self, *args)
    )
    field = prepared(problem, measure)
    before = len(asked)
    assert field.error_estimate(measure) == field.worst and len(asked) == before > 0
    field.error_estimate(mf.ParticleMeasure(measure.a, 2.0 * measure.u, measure.r))
    assert len(asked) == before + 1


def test_the_gradient_flow_of_its_own_risk():
    problem = make_problem("relu", k=2, D=9, kappa=0.5)
    mass = np.random.default_rng(0).dirichlet(np.ones(30))
    m = make_measure(2, n=30)
    measure = mf.ParticleMeasure(m.a, m.u, m.r, mass)
    field = prepared(problem, measure)
    da, du, dr = velocity(field, measure)
    h, (a, u, r) = 1e-4, measure.arrays()
    up, down = (field.risk(a + s * da, u + s * du, r + s * dr) for s in (h, -h))
    expected = -float(mass @ ((du**2).sum(axis=1) + dr**2 + da**2 / 0.5))
    assert math.isclose((up - down) / (2 * h), expected, rel_tol=1e-6)


invariances = settings(max_examples=10, deadline=None, derandomize=True)
dimensions = st.sampled_from([1, 30, math.inf])


@invariances
@given(st.permutations(range(9)), dimensions)
def test_neurons_can_be_renamed(order, D):
    problem, m = make_problem("relu", k=2, D=D), make_measure(2, n=9)
    order = list(order)
    before = velocity(HomogeneousField(problem), m)
    moved = mf.ParticleMeasure(m.a[order], m.u[order], m.r[order])
    for one, other in zip(before, velocity(HomogeneousField(problem), moved), strict=True):
        np.testing.assert_allclose(other, one[order], rtol=0, atol=1e-13)


@invariances
@given(st.floats(0, 2 * math.pi), st.booleans(), dimensions)
def test_the_plane_can_be_rotated_with_the_target(angle, mirrored, D):
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    turn[:, 1] *= -1 if mirrored else 1
    problem = make_problem("relu", "relu", k=2, D=D, gram=np.eye(2))
    m = make_measure(2, n=100)
    target = problem.target
    rotated = target.units._replace(basis=target.basis @ turn.T)
    turned = HomogeneousField(problem)
    turned.target_part = ClosedPairs(problem.student, rotated)
    before = velocity(HomogeneousField(problem), m)
    da, du, dr = velocity(turned, mf.ParticleMeasure(m.a, m.u @ turn.T, m.r))
    for one, other in zip(before, (da, du @ turn, dr), strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-6 if D == 1 else 1e-8)


@invariances
@given(st.lists(st.booleans(), min_size=30, max_size=30), st.floats(-300, 300), dimensions)
def test_signs_of_r_and_units_of_length(flipped, decades, D):
    """r below 0 is the same neuron, mirrored; the mesh does not know lengths."""
    problem, m = make_problem("relu", k=2, D=D), make_measure(2, n=30)
    sign, scale = np.where(flipped, -1.0, 1.0), 10.0 ** (0.4 * decades)
    field = HomogeneousField(problem)
    field.target_part = lambda u, r: (np.zeros_like(r), np.zeros_like(u), np.zeros_like(r))
    before = velocity(field, m)
    out = [np.zeros(30), np.zeros((30, 2)), np.zeros(30)]
    field.velocity(m.a, scale * m.u, scale * sign * m.r, *out)
    found = out[0] / scale / scale, out[1] / scale, sign * out[2] / scale
    for one, other in zip(before, found, strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-13)


@pytest.mark.parametrize("D", [9, math.inf])
def test_any_number_of_threads(D):
    problem, measure = make_problem("relu", "relu", k=2, D=D), make_measure(2, n=20_000)
    results = []
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        with thread_limit(threads):
            field = prepared(problem, measure)
            results.append([part.tobytes() for part in velocity(field, measure)])
            results[-1].append(field.risk(*measure.arrays()))
    assert results[0] == results[1]


def test_a_run_is_what_pairs_give():
    """From a start at d = 20, with both layers trained."""
    problem = mf.Problem(mf.CommitteeTarget(2, "relu"), "relu", 20, second_layer_rate=1.0)
    measure = mf.gaussian_measure(problem, 150, seed=1)
    run = mf.solve_mean_field(problem, measure, 3.0, save_at=3, rtol=1e-8)
    assert run.stats["field"] == "half-sphere" and run.success
    exact = mf.solve_mean_field(problem, measure, 3.0, save_at=3, rtol=1e-8, evaluator="pairs")
    assert exact.stats["field"] == "pairs"
    np.testing.assert_allclose(run.risk, exact.risk, rtol=0, atol=1e-8)
    np.testing.assert_allclose(run.final.u, exact.final.u, rtol=0, atol=1e-6)
    np.testing.assert_allclose(run.final.r, exact.final.r, rtol=0, atol=1e-6)


def test_what_it_refuses():
    measure = make_measure(2, n=4)
    for problem in (
        make_problem("erf", k=2),
        make_problem("relu", k=1),
        mf.Problem(mf.MultiIndexTarget(lambda z: np.abs(z[:, 0]), k=2), "relu", 9),
    ):
        with pytest.raises(ValueError, match="half-sphere"):
            HomogeneousField(problem)
    field = prepared(make_problem("relu", k=2, kappa=0.0), measure)
    da, du, _ = velocity(field, measure)
    assert np.isnan(da).all() and np.isfinite(du).all()  # a fixed second layer is left alone
    a, u, r = measure.arrays()
    nowhere = SimpleNamespace(arrays=lambda: (a, u * np.nan, r))
    assert np.isnan(velocity(field, nowhere)[1]).all()
    assert math.isnan(field.risk(*nowhere.arrays()))
