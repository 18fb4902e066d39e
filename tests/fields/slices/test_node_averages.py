"""Averages on a product of nodes and mesh points, whichever way they are taken."""

import dataclasses
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


@pytest.mark.parametrize("D", [2, 3, 9, 99])
@pytest.mark.parametrize("name", NAMES)
def test_frequencies_hold_averages_at_any_length(name, D):
    student = get_activation(name)
    x, s = np.linspace(-60.0, 50.0, 23), np.linspace(0.0, 40.0, 7)
    found = averages.by_frequencies(student, x, s, D)
    nodes, weight = np.polynomial.legendre.leggauss(600)
    angle = 0.5 * math.pi * (nodes + 1.0)
    density = weight * np.sin(angle) ** (D - 2)
    values = student(x[:, None, None] + s[:, None] * np.cos(angle))
    expected = values @ (density / density.sum())
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_frequencies_say_where_they_fail():
    """A strip that is said to be wider than it is."""
    steep = dataclasses.replace(get_activation("tanh"), function=lambda x: np.tanh(60.0 * x))
    x, s = np.linspace(-2.0, 2.0, 40), np.linspace(0.1, 2.0, 5)
    assert averages.by_frequencies(steep, x, s, 3) is None
