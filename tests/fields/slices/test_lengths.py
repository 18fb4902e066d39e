"""A few functions of r that hold what a length does: how many, how well, and their table."""

import math

import numpy as np
import pytest

from meanfield.activations import get_activation
from meanfield.fields.slices.axes import Axis, Resolution
from meanfield.fields.slices.planes import length_basis, length_table
from meanfield.gaussian.rules import chi_rule
from tests.reference.lengths import length_vector

AXIS = Axis(3.0, Resolution(0.045, 1e-12, 1.0, 2.0), 1, signed=False)


def values_on_nodes(name, r, D=math.inf):
    """g0 at t v and r, (t, v, r), for t of a rule, with its weights."""
    t, weight = chi_rule(2, 30)
    v = np.linspace(-3.0, 3.0, 25)
    argument = t[:, None, None] * v[:, None] + 0.0 * r
    return get_activation(name).average(argument, np.broadcast_to(r, argument.shape), D), weight


def weighted(values, weight):
    """R of the values, weighted by node."""
    rows = (np.sqrt(weight)[:, None, None] * values).reshape(-1, values.shape[2])
    return np.linalg.qr(rows, mode="r")


@pytest.mark.parametrize(
    ("name", "width"),
    [("sine", 8), ("hermite4", 8), ("softplus", 16), ("gelu", 16), ("tanh", 24)],
)
def test_few_functions_hold_all(name, width):
    """To the tolerance as the nodes count, at lengths that are no points of the basis too."""
    values, weight = values_on_nodes(name, AXIS.x)
    basis = length_basis(weighted(values, weight), 3e-10)
    assert basis.shape == (len(AXIS.x), width)
    np.testing.assert_allclose(basis.T @ basis, np.eye(width), atol=1e-13)
    lengths = length_table(AXIS, basis)
    r = np.array([0.0, 0.1, 1.0, 2.9])
    vectors = np.array([length_vector(x, lengths)[0] for x in r])
    expected, _ = values_on_nodes(name, r)
    found = (values @ basis) @ vectors.T
    error = np.sqrt(np.einsum("t,tvr->vr", weight, (found - expected) ** 2)).max()
    size = np.sqrt(np.einsum("t,tvr->vr", weight, expected**2)).max()
    assert error < 3e-9 * size


def test_a_finer_tolerance_takes_more():
    values, weight = values_on_nodes("tanh", AXIS.x)
    rows = weighted(values, weight)
    widths = [length_basis(rows, tolerance).shape[1] for tolerance in (1e-4, 1e-8, 1e-12)]
    assert widths == sorted(set(widths))
