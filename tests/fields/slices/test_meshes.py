"""Meshes: g0 itself, what is spread and gathered, and the special functions they need."""

import math

import numpy as np
import pytest

from meanfield.activations import get_activation
from meanfield.fields.slices.meshes import AngleMesh
from meanfield.fields.slices.nodes import graded_nodes
from meanfield.gaussian.coordinate_averages import rectified_average, sphere_characteristic
from tests.fields.cases import DIMENSIONS
from tests.reference import mean_field as twin

FINITE = [D for D in DIMENSIONS if math.isfinite(D)]


def coordinate_law(D):
    """Many points for the first coordinate of a unit vector (times √D at D = ∞: a Gaussian)."""
    if D == 1:
        return twin.overlap_law(1)
    x = np.linspace(-1.0, 1.0, 20_001)
    if math.isinf(D):
        U, w = 9.0 * x, np.exp(-40.5 * x * x)
    else:
        angle = 0.5 * math.pi * (1.0 + min(1.0, 7.0 / math.sqrt(D)) * x)
        U, w = np.cos(angle), np.sin(angle) ** (D - 2)
    w[[0, -1]] *= 0.5  # the trapezoidal rule, of any order for what is even about both ends
    return U, w / w.sum()


@pytest.mark.parametrize("D", DIMENSIONS)
def test_rectified_average(D):
    v, s = np.array([-2.0, -0.3, 0.0, 0.2, 3.0]), np.array([0.0, 0.25, 1.0, 2.5])
    v, s = (x.ravel() for x in np.meshgrid(v, s))
    U, w = coordinate_law(D)
    expected = [np.maximum(x + y * U, 0.0) @ w for x, y in zip(v, s, strict=True)]
    np.testing.assert_allclose(rectified_average(v, s, D), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("D", FINITE)
def test_characteristic_function(D):
    x = np.array([0.0, 1e-4, 1e-3, 0.5, 3.0]) * math.sqrt(D)
    U, w = coordinate_law(D)
    expected = np.cos(np.multiply.outer(x, U)) @ w
    np.testing.assert_allclose(sphere_characteristic(x, D), expected, rtol=0, atol=1e-12)


def test_matrix_of_the_angles_times_moments_is_f():
    rng = np.random.default_rng(3)
    a, u, r = rng.uniform(-1, 2, 20), rng.standard_normal((20, 1)), np.abs(rng.standard_normal(20))
    r[0], u[1] = 0.0, 0.0
    mesh = AngleMesh(get_activation("relu"), np.ones((1, 1)), np.ones(1), 192, math.inf)
    nodes = graded_nodes(lambda z: z[..., 0], np.array([[1.0], [-1.0]]), 1, math.inf, 10)
    moments = mesh.spread(a, u, r)
    plus, minus = (mesh.matrix(nodes) @ column for column in moments)
    for f, sign in ((plus, 1.0), (minus, -1.0)):
        expected = rectified_average(sign * nodes.t[:, None] * u[:, 0], r + 0 * u[:, 0], math.inf)
        np.testing.assert_allclose(f, expected @ a / 20, rtol=0, atol=1e-4)
    assert mesh.spread(a, u, 1e100 * r) is not None and mesh.spread(a, np.nan * u, r) is None


def test_gathering_from_angles():
    """Φ = R φ(ψ) with φ = exp(−ψ): slopes do not vanish at the ends, and neurons sit on them."""
    rng = np.random.default_rng(4)
    n = 200
    a, u, r = rng.uniform(-1, 2, n), rng.standard_normal((n, 1)), np.abs(rng.standard_normal(n))
    r[:20] *= 1e-3
    u[0], r[0], u[1], r[1], u[2] = 1.0, 0.0, -1.0, 0.0, 0.0
    mesh = AngleMesh(get_activation("relu"), np.ones((1, 1)), np.ones(1), 192, 9)
    potential = np.stack((2.0 * np.exp(-mesh.psi), np.zeros(mesh.size)))
    out = (np.zeros(n), np.zeros((n, 1)), np.zeros(n))
    mesh.gather(potential, a, u, r, 0.5, out)
    R, psi = np.hypot(u[:, 0], r), np.arctan2(r, u[:, 0])
    phi = np.exp(-psi)  # and φ' = −φ
    np.testing.assert_allclose(out[0], 0.5 * R * phi, rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        out[1][:, 0], a * phi * (np.cos(psi) + np.sin(psi)), rtol=0, atol=1e-8
    )
    np.testing.assert_allclose(out[2], a * phi * (np.sin(psi) - np.cos(psi)), rtol=0, atol=1e-8)
