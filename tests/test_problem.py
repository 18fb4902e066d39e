"""The problem: its dimensions, its equality, its parameters."""

import math

import numpy as np
import pytest

import meanfield as mf
from meanfield.problem import problem_from_parameters

SINGULAR = mf.CommitteeTarget(k=3, gram=np.ones((3, 3)) + np.diag([1.0, 0.0, 0.0]))


def test_dimensions():
    problem = mf.Problem(mf.CommitteeTarget(k=3), dim=100)
    assert (problem.subspace_dim, problem.perpendicular_dim) == (3, 97)
    assert isinstance(problem.dim, int)
    assert mf.Problem(SINGULAR, dim=100).perpendicular_dim == 98
    assert mf.Problem(SINGULAR).perpendicular_dim == math.inf


@pytest.mark.parametrize("dim", [1000, 1000.0, np.int32(1000)])
def test_integral_dimensions_are_one_value(dim):
    assert mf.Problem(mf.CommitteeTarget(k=1), dim=dim).dim == 1000


def test_smallest_dimension_is_one_above_k():
    assert mf.Problem(mf.CommitteeTarget(k=2), dim=3).perpendicular_dim == 1


def test_at_dim_changes_nothing_else():
    problem = mf.Problem(SINGULAR, "relu", 10, learning_rate=0.5, second_layer_rate=1.0)
    other = problem.at_dim(math.inf)
    assert other.dim == math.inf and other != problem
    assert other.at_dim(10) == problem


@pytest.mark.parametrize("dim", [50, math.inf])
def test_parameters_rebuild_an_equal_problem(dim):
    problem = mf.Problem(SINGULAR, "relu", dim, learning_rate=0.5, second_layer_rate=1.0)
    twin = problem_from_parameters(problem.parameters())
    assert twin == problem and hash(twin) == hash(problem)
    assert type(twin.dim) is type(problem.dim)


def test_student_is_the_named_activation():
    x = np.array([-1.0, 2.0])
    student = mf.Problem(mf.CommitteeTarget(k=1), "relu").student
    assert student(x).tolist() == [0.0, 2.0]
    assert student.derivative(x).tolist() == [0.0, 1.0]
    square = mf.Problem(mf.CommitteeTarget(k=1), "square").student
    assert square(x).tolist() == [1.0, 4.0]
    assert square.derivative(x).tolist() == [-2.0, 4.0]
    step = 1e-6
    smooth = mf.Problem(mf.CommitteeTarget(k=1)).student
    slope = (smooth(x + step) - smooth(x - step)) / (2 * step)
    assert smooth.derivative(x) == pytest.approx(slope, rel=1e-8)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"target": "erf"}, TypeError, "target must be a CommitteeTarget"),
        ({"activation": "softmax"}, ValueError, "activation must be one of"),
        ({"dim": 2}, ValueError, "dim must exceed k = 2"),
        ({"dim": 1}, ValueError, "dim must exceed k = 2"),
        ({"dim": 0}, ValueError, "dim must be an integer above k"),
        ({"dim": -5}, ValueError, "dim must be an integer above k"),
        ({"dim": 10.5}, ValueError, "dim must be an integer above k"),
        ({"dim": math.nan}, ValueError, "dim must be an integer above k"),
        ({"dim": -math.inf}, ValueError, "dim must be an integer above k"),
        ({"dim": "10"}, ValueError, "dim must be an integer above k"),
        ({"dim": None}, ValueError, "dim must be an integer above k"),
        ({"dim": True}, ValueError, "dim must be an integer above k"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate must be at least 0"),
        ({"learning_rate": math.nan}, ValueError, "learning_rate must be finite"),
        ({"second_layer_rate": -0.5}, ValueError, "second_layer_rate must be at least 0"),
        ({"second_layer_rate": "1"}, TypeError, "second_layer_rate must be a real number"),
    ],
)
def test_bad_input_names_the_argument(arguments, error, match):
    with pytest.raises(error, match=match):
        mf.Problem(**({"target": mf.CommitteeTarget(k=2), "dim": 10} | arguments))
