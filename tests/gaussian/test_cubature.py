"""E h(z) of functions with kinks, jumps and steep places, against closed forms."""

import math

import numpy as np
import pytest
from scipy.special import ndtr

from meanfield.gaussian.cubature import gaussian_mean

MEAN = math.sqrt(2.0 / math.pi)  # of |z|


def relu_committee(z):
    return np.maximum(z, 0.0).mean(axis=1)


def of_relus(k):
    """E (Σ max(z_j, 0)/k)²."""
    return (0.5 * k + k * (k - 1) / (2.0 * math.pi)) / k**2


def along(*direction):
    """|b·z| + 1, and its second moment."""
    b = np.array(direction)
    return (lambda z: np.abs(z @ b) + 1.0), b @ b + 1.0 + 2.0 * MEAN * math.sqrt(b @ b)


@pytest.mark.parametrize(
    ("function", "exact", "k"),
    [
        (lambda z: np.maximum(z[:, 0] - 0.3, 0.0),
         1.09 * ndtr(-0.3) - 0.3 * math.exp(-0.045) / math.sqrt(2.0 * math.pi), 1),
        (lambda z: 1.0 + np.sign(z[:, 0] - 0.3), 4.0 * ndtr(-0.3), 1),
        (*along(1.0, -0.5), 2),
        (*along(1.0, 0.5, -0.3), 3),
        (lambda z: np.maximum(z[:, 0], z[:, 1]) + 0.3 * z[:, 2] ** 2,
         1.27 + 0.6 / math.sqrt(math.pi), 3),
    ],
)  # fmt: skip
def test_kinks_anywhere_to_three_coordinates(function, exact, k):
    for smooth in (True, False) if k < 3 else (True,):
        found = gaussian_mean(lambda z: function(z) ** 2, k, smooth=smooth)
        assert abs(found.value - exact) < 1e-8 * exact
        assert abs(found.value - exact) < found.error + 1e-15 < 1e-6


@pytest.mark.parametrize("k", [6, 8])
def test_kinks_in_many_coordinates(k):
    found = gaussian_mean(lambda z: relu_committee(z) ** 2, k)
    assert abs(found.value / of_relus(k) - 1.0) < 1e-4
    assert abs(found.value - of_relus(k)) < found.error < 1e-4 * found.value


@pytest.mark.parametrize("k", [5, 6, 8, 11])
def test_products_of_many_coordinates(k):
    found = gaussian_mean(lambda z: z.prod(axis=1) ** 2, k)
    assert abs(found.value - 1.0) < 1e-12 and found.error < 1e-12


def test_what_few_points_do_not_resolve_is_said(monkeypatch):
    monkeypatch.setattr("meanfield.gaussian.cubature.POWERS", (9,))
    found = gaussian_mean(lambda z: np.exp(np.abs(z).sum(axis=1)), 6)
    exact = (2.0 * math.exp(0.5) * ndtr(1.0)) ** 6
    assert 1e-3 * exact < abs(found.value - exact) < 1.5 * found.error
