"""Averages on a product of nodes and mesh points, whichever way they are taken."""

import math

import numpy as np
import pytest

from meanfield.activations import get_activation
from meanfield.fields.slices import node_averages as averages
from meanfield.fields.slices.node_averages import averages_on_product

NAMES = ("erf", "tanh", "sigmoid", "softplus", "gelu", "sine", "hermite3")


@pytest.mark.parametrize("D", [1, 9, 99, math.inf])
@pytest.mark.parametrize("name", NAMES)
def test_against_single_averages(name, D):
    student = get_activation(name)
    length = 1.0 if math.isinf(D) else math.sqrt(D)
    t, v = np.linspace(0.1, 8.0, 17), np.linspace(-2.0, 3.0, 11)
    rho, r = length * np.linspace(0.6, 1.3, 4), np.linspace(0.05, 2.0, 6)
    if math.isinf(D):
        rho = np.ones(1)
    found = averages_on_product(student, t, v, rho, r, D)
    x = (t[:, None] * v)[:, None, :, None]
    s = (rho[:, None] * r)[None, :, None, :]
    expected = student.average(x, s, D).reshape(found.shape)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


def test_a_table_is_used_where_it_is_accurate_and_only_there():
    student = get_activation("tanh")
    x, s = np.linspace(-5.0, 5.0, 40), np.linspace(0.1, 2.0, 40)
    assert averages._tabulated(student, x, s, 99, averages.TABLES[0]) is not None
    assert averages._tabulated(student, 20.0 * x, 40.0 * s, 1, averages.TABLES[-1]) is None
