"""Averages on a product of nodes and mesh points, whichever way they are taken."""

import dataclasses
import math

import numpy as np
import pytest

from meanfield.activations import get_activation
from meanfield.fields.slices import node_averages as averages
from meanfield.fields.slices.node_averages import averages_on_product
from meanfield.gaussian.rules import chi_rule

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
    found = averages_on_product(student, t, v, rho, r, D).full()
    x = (t[:, None] * v)[:, None, :, None]
    s = (rho[:, None] * r)[None, :, None, :]
    expected = student.average(x, s, D).reshape(found.shape)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


def test_a_table_is_used_where_it_is_accurate_and_only_there():
    student = get_activation("tanh")
    x, s = np.linspace(-5.0, 5.0, 40), np.linspace(0.1, 2.0, 40)
    assert averages._tabulated(student, x, s, 99, averages.TABLES[0]) is not None
    assert averages._tabulated(student, 20.0 * x, 40.0 * s, 1, averages.TABLES[-1]) is None


def test_a_layout_and_a_finer_one_share_a_table_that_does_not_depend_on_who_asked_before(
    monkeypatch,
):
    student, other = get_activation("sigmoid"), get_activation("tanh")
    resolution = averages.TABLES[0]
    x, s = np.linspace(-9.0, 9.0, 80), np.linspace(0.1, 2.0, 80)

    def made(name_of, factor=1.0):
        return averages._tabulated(name_of, factor * x, factor * s, math.inf, resolution)

    monkeypatch.setattr(averages, "_last", None)
    first, table = made(student), averages._last
    made(student, 0.99)
    assert averages._last is table  # the same serves what reaches nearly as far
    made(other)
    assert averages._last is not table
    for once, again in zip(first, made(student), strict=True):
        np.testing.assert_array_equal(once, again)


def test_a_table_that_layouts_share_is_held_to_more_than_their_difference_can_show(monkeypatch):
    student, resolution = get_activation("sigmoid"), averages.TABLES[0]
    x, s = np.linspace(-9.0, 9.0, 80), np.linspace(0.1, 2.0, 80)
    real = averages._table

    def bent(*asked):
        along, across, table = real(*asked)
        return along, across, table + 5e-12 * np.cos(along.x)[:, None]

    assert averages._tabulated(student, x, s, math.inf, resolution) is not None
    monkeypatch.setattr(averages, "_table", bent)
    assert averages._tabulated(student, x, s, math.inf, resolution) is None


@pytest.mark.parametrize("D", [1, 2, 8])
@pytest.mark.parametrize("name", ["erf", "tanh", "sigmoid", "softplus"])
def test_long_lengths_in_few_dimensions(name, D):
    """Where g0 is rough around |x| = s and few points in x and s do not serve, x ± s do."""
    student = get_activation(name)
    x, s = np.linspace(-60.0, 60.0, 80), np.linspace(0.1, 70.0, 90)
    assert averages._tabulated(student, x, s, D, averages.TABLES[0]) is None
    _, found = averages._from_ends(student, x, s, D, averages.ENDS[-1])
    expected = student.average(x[:, None], s, D)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


def test_no_table_is_taken_for_accurate_where_it_is_not():
    """A function that is not tame far out: sin(sinh) has no end of waves."""
    student = get_activation("sine")
    x, s = np.linspace(-60.0, 60.0, 80), np.linspace(0.1, 70.0, 90)
    for resolution in averages.ENDS:
        assert averages._from_ends(student, x, s, 3, resolution) is None


@pytest.mark.parametrize(("name", "D"), [("tanh", math.inf), ("tanh", 99), ("softplus", 3)])
def test_factors_give_what_all_values_do(name, D):
    """Onto functions of r, and to triangular form, in each of the forms that averages take."""
    student, rng = get_activation(name), np.random.default_rng(0)
    t, weight_t = chi_rule(2, 20)
    rho, weight_rho = (np.ones(1), np.ones(1)) if math.isinf(D) else chi_rule(D, 12)
    v, r = np.linspace(-3.0, 3.0, 28), np.linspace(0.1, 2.5, 16)
    found = averages_on_product(student, t, v, rho, r, D)
    assert (found.left is None) == (D == 3)
    values, basis = found.full(), rng.normal(size=(16, 8))
    np.testing.assert_allclose(found.onto(basis), values @ basis, rtol=0, atol=1e-12)
    weight = np.outer(weight_t, weight_rho).ravel()
    triangle = found.triangle(weight)
    gram = np.einsum("n,nvr,nvq->rq", weight, values, values)
    np.testing.assert_allclose(triangle.T @ triangle, gram, rtol=0, atol=1e-13 * gram.max())


@pytest.mark.parametrize("count", [3, 100, 20_000])
def test_triangle_of_blocks(count):
    rng = np.random.default_rng(0)
    rows, weight = rng.normal(size=(count, 7)), rng.random(count)
    rows *= 10.0 ** -np.arange(0.0, 14.0, 2.0)
    found = np.linalg.svd(averages.triangle(rows, weight), compute_uv=False)
    expected = np.linalg.svd(rows * weight[:, None], compute_uv=False)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-15 * expected[0])


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
