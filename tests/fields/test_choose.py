"""The field that a user gets, whichever evaluator it is, against the twin."""

import math

import numpy as np
import pytest

import meanfield as mf
from meanfield.fields import choose_field
from meanfield.fields.choose import _pick
from tests.fields.cases import (
    ACTIVATIONS,
    DIMENSIONS,
    SCALES,
    allowed,
    make_measure,
    make_problem,
    relative_errors,
)


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
    return [_pick(problem, n, 3.5 * scale, 3.5 * scale, False).name for n in sizes]


def test_small_measures_are_summed_and_large_ones_go_through_a_mesh():
    assert names("square", [1, 10**6]) == ["moments", "moments"]
    for k, large in ((1, 10**4), (2, 10**5)):
        assert names("erf", [10, large], k=k) == ["pairs", "slices"]
    assert names("relu", [2, 10**5], k=1) == ["pairs", "slices"]
    for tau in ("erf", "relu", "tanh"):
        assert names("relu", [20, 1000, 10**6], k=2, tau=tau) == ["pairs", *["hemisphere"] * 2]
        assert names("relu", [200, 10**6], k=2, D=math.inf, tau=tau) == ["pairs", "hemisphere"]
    assert names("erf", [4000], k=2, tau="relu") == ["pairs"]


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
