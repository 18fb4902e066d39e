"""The field that a user gets, whichever evaluator it is, against the twin."""

import math

import numpy as np
import pytest

import meanfield as mf
from meanfield.fields import choose_field
from meanfield.fields.base import Task
from meanfield.fields.choose import EVALUATORS, make_field
from tests.fields.cases import (
    ACTIVATIONS,
    DIMENSIONS,
    SCALES,
    allowed,
    make_measure,
    make_problem,
    relative_errors,
)


@pytest.mark.slow
@pytest.mark.parametrize("D", DIMENSIONS)
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("sigma", ACTIVATIONS)
def test_right_hand_side(sigma, k, D):
    """In all scales, for neurons all over and for a Gaussian start; targets take turns."""
    for i, scale in enumerate(SCALES):
        tau = ACTIVATIONS[(i + DIMENSIONS.index(D)) % 3]
        problem = make_problem(sigma, tau, k=k, D=D)
        for measure in (
            make_measure(k, scale=scale),
            mf.gaussian_measure(problem, 200, scale, seed=3),
        ):
            field = choose_field(problem, measure)
            errors = relative_errors(field, problem, measure)
            assert max(errors) < allowed(sigma), (scale, tau, field.name, errors)


@pytest.mark.parametrize("tau", ACTIVATIONS)
@pytest.mark.parametrize("sigma", ACTIVATIONS)
@pytest.mark.parametrize("D", [3, math.inf])
def test_any_student_with_any_target(sigma, tau, D):
    gram = [[1.0, 0.5, 1.5], [0.5, 1.0, 1.5], [1.5, 1.5, 3.0]]  # of rank 2
    problem = make_problem(sigma, tau, k=3, D=D, gram=gram, weights=[1.0, -0.8, 0.5])
    assert problem.subspace_dim == 2
    measure = make_measure(2, n=60, seed=4)
    field = choose_field(problem, measure)
    assert max(relative_errors(field, problem, measure)) < allowed(sigma)


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("sigma", ACTIVATIONS)
def test_the_limit_of_many_dimensions_is_continuous(sigma, k):
    measure = make_measure(k, n=100)
    gaps, flows = [], []
    for D in (10**6, math.inf):
        problem = make_problem(sigma, k=k, D=D)
        flows.append(mf.mean_field_velocity(problem, measure))
    for finite, limit in zip(*flows, strict=True):
        gaps.append(np.linalg.norm(finite - limit) / np.linalg.norm(limit))
    assert 0 < max(gaps) < 3e-5


def names(sigma, sizes, *, k=1, scale=1.0, D=9, tau="erf"):
    problem = make_problem(sigma, tau, k=k, D=D, kappa=0.0)
    return [make_field(Task(problem, n, 3.5 * scale, 3.5 * scale)).name for n in sizes]


def test_small_measures_are_summed_and_large_ones_go_through_a_mesh():
    assert names("square", [1, 10**6]) == ["polynomial", "polynomial"]
    for k, large in ((1, 10**4), (2, 10**5)):
        assert names("erf", [10, large], k=k) == ["pairs", "slices"]
    assert names("relu", [2, 10**5], k=1) == ["pairs", "slices"]
    for tau in ("erf", "relu", "tanh"):
        assert names("relu", [20, 1000, 10**6], k=2, tau=tau) == ["pairs", *["half-sphere"] * 2]
        assert names("relu", [200, 10**6], k=2, D=math.inf, tau=tau) == ["pairs", "half-sphere"]
    assert names("erf", [4000], k=2, tau="relu") == ["pairs"]


def test_what_takes_no_time_goes_by_its_error():
    """Pairs are good to 1e-12, slices to 1e-9; below a millisecond nobody waits for either."""
    assert names("erf", [2, 300, 1000], D=math.inf) == ["pairs", "pairs", "slices"]


def test_far_neurons_want_more_nodes_than_a_small_measure_is_worth():
    """At k = 2 and scale 3 a mesh took 8 s where 200 neurons take 0.03 s pair by pair."""
    assert names("erf", [200], k=2, scale=3.0, D=2) == ["pairs"]
    assert names("erf", [4000], k=2, scale=1.0, D=2) == ["slices"]
    assert names("erf", [1000], k=2, scale=1e200, D=2) == ["pairs"]


def test_a_measure_of_another_subspace_is_refused():
    with pytest.raises(ValueError, match="measure"):
        choose_field(make_problem(k=2), make_measure(1, n=4))


def test_more_directions_than_a_mesh_can_hold():
    target = mf.CommitteeTarget(k=4)
    problem = mf.Problem(target, "erf", 8, second_layer_rate=1.0)
    measure = make_measure(4, n=30)
    field = choose_field(problem, measure)
    assert field.name == "pairs"
    assert max(relative_errors(field, problem, measure)) < 1e-8


STUDENTS = {
    ("erf", 1): {"pairs", "slices", "series", "quadrature"},
    ("relu", 2): {"pairs", "half-sphere", "slices", "quadrature"},
    ("square", 2): {"polynomial", "series", "slices", "quadrature"},
    ("tanh", 4): {"series", "quadrature"},
}


@pytest.mark.parametrize(("sigma", "k"), STUDENTS)
def test_every_evaluator_that_serves_can_be_asked_for(sigma, k):
    """They agree; the others are refused in words that name those."""
    problem = mf.Problem(mf.CommitteeTarget(k=k), sigma, math.inf, second_layer_rate=1.0)
    measure, serve = make_measure(k, n=20, scale=0.4), STUDENTS[sigma, k]
    expected = mf.mean_field_velocity(problem, measure)
    for name in EVALUATORS:
        if name not in serve:
            with pytest.raises(ValueError, match="evaluator must be one that serves") as refused:
                mf.mean_field_velocity(problem, measure, evaluator=name)
            assert all(f"'{other}'" in str(refused.value) for other in serve)
            continue
        field = choose_field(problem, measure, name)
        off = max(field.error_estimate(measure), 1e-12)
        assert field.name == name and off < 0.02
        found = mf.mean_field_velocity(problem, measure, evaluator=name)
        for mine, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=5.0 * off * np.abs(theirs).max())
    run = mf.solve_mean_field(problem, measure, 0.1, 2, evaluator="quadrature", rtol=1e-3)
    assert run.stats["field"] == "quadrature"
    risk = mf.population_risk(problem, measure, evaluator="quadrature")
    leak = mf.projection.concentration(measure, problem, evaluator="quadrature").function_energy
    assert math.isclose(risk, mf.population_risk(problem, measure), rel_tol=0.02)
    assert math.isclose(
        leak, mf.projection.concentration(measure, problem).function_energy, rel_tol=0.02
    )


def test_none_is_auto():
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=20)
    measure = mf.gaussian_measure(problem, 50)
    runs = [mf.solve_mean_field(problem, measure, 0.1, evaluator=e) for e in (None, "auto")]
    assert (runs[0].risk == runs[1].risk).all()
    assert runs[0].stats["field"] == runs[1].stats["field"]


@pytest.mark.parametrize("wrong", ["meshes", 3, True])
def test_what_is_no_evaluator_is_refused(wrong):
    problem, measure = make_problem(), make_measure(1, n=4)
    for call in (
        lambda: mf.solve_mean_field(problem, measure, 1.0, evaluator=wrong),
        lambda: mf.mean_field_velocity(problem, measure, evaluator=wrong),
        lambda: mf.population_risk(problem, measure, evaluator=wrong),
        lambda: mf.projection.concentration(measure, problem, evaluator=wrong),
    ):
        with pytest.raises((ValueError, TypeError), match="evaluator must be one of 'auto'"):
            call()
