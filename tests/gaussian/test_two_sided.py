"""Gauss rules on both sides of 0."""

import math

import numpy as np
import pytest

from meanfield.gaussian.rules import half_gaussian_rule, two_sided_product


@pytest.mark.parametrize("nodes", [1, 4, 14, 40])
def test_moments_of_half_a_gaussian(nodes):
    """Exact to degree 2n − 1: E |x|^m = 2^(m/2) Γ((m + 1)/2)/√π."""
    x, w = half_gaussian_rule(nodes)
    for m in range(min(2 * nodes, 40)):
        exact = 2.0 ** (m / 2) * math.gamma((m + 1) / 2) / math.sqrt(math.pi)
        assert w @ x**m == pytest.approx(exact, rel=1e-10)


def test_a_kink_on_an_axis_costs_nothing():
    z, w = two_sided_product(2, 6)
    assert w @ np.abs(z[:, 0]) == pytest.approx(math.sqrt(2.0 / math.pi), rel=1e-12)
    assert w @ (np.abs(z[:, 0]) * z[:, 1] ** 2) == pytest.approx(math.sqrt(2.0 / math.pi))
    assert w @ z == pytest.approx([0.0, 0.0], abs=1e-14)
