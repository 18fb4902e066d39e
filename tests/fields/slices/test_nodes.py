"""Node layouts integrate what they are for."""

import math

import numpy as np
import pytest

from meanfield.activations import get_activation
from meanfield.fields.slices.meshes import AngleMesh
from meanfield.fields.slices.nodes import graded_nodes, polar_nodes, product_nodes

E1 = np.array([[1.0]])


def gaussian_moment(dims, power):
    """E |x|^power in `dims` dimensions."""
    return math.exp(
        0.5 * power * math.log(2.0) + math.lgamma(0.5 * (dims + power)) - math.lgamma(0.5 * dims)
    )


@pytest.mark.parametrize("D", [1, 3, 9, 999, 10**6])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_products_have_the_moments_of_a_gaussian(k, D):
    columns = np.eye(k)[:1]
    for nodes in (
        product_nodes(lambda z: z[..., 0], columns, k, D, (40, 40)),
        graded_nodes(lambda z: z[..., 0], columns, k, D, 80, lengths=40),
    ):
        assert len(nodes.t) == nodes.shape[0] * nodes.shape[1] == len(nodes.target)
        assert np.array_equal(np.repeat(nodes.t_axis, nodes.shape[1]), nodes.t)
        assert np.array_equal(np.tile(nodes.rho_axis, nodes.shape[0]), nodes.rho)
        assert np.array_equal(nodes.target[:, 0], nodes.t)
        for p, q in ((0, 0), (2, 0), (1, 2), (4, 2), (2, 4)):
            found = nodes.weight @ (nodes.t**p * (nodes.rho / math.sqrt(D)) ** q)
            expected = gaussian_moment(k, p) * gaussian_moment(D, q) / D ** (q / 2)
            assert math.isclose(found, expected, rel_tol=1e-7), (p, q, found, expected)


def test_infinitely_many_dimensions_need_no_lengths():
    nodes = product_nodes(lambda z: z[..., 0], E1, 1, math.inf, (30, 50))
    assert nodes.shape == (30, 1) and (nodes.rho == 1.0).all()


def test_graded_nodes_resolve_a_kink_at_the_origin():
    """E (|z| − δ)₊ where δ is far below the spacing of any smooth rule."""
    nodes = graded_nodes(lambda z: z[..., 0], E1, 1, math.inf, 80)
    for delta in (1e-2, 1e-5, 1e-8):
        kinked = nodes.weight @ np.minimum(nodes.t / delta, 1.0)
        exact = 1.0 - delta / math.sqrt(2 * math.pi)
        assert abs(kinked - exact) < 2e-3 * delta


@pytest.mark.parametrize("tau_power", [1, 2, 3])
@pytest.mark.parametrize(("k", "D"), [(1, 1), (1, 5), (2, 30), (3, 2)])
def test_polar_nodes_project_a_target_on_the_radius(k, D, tau_power):
    """f* = |z|^m: its projection on τ is τ cos(χ)^m E τ^(m+1)/E τ²."""
    columns = np.eye(k)[:1]
    mesh = AngleMesh(get_activation("relu"), columns, np.ones(1), 64, D)
    nodes = polar_nodes(lambda z: np.abs(z[..., 0]) ** tau_power, columns, k, D, mesh.psi)
    total = D + k
    np.testing.assert_allclose(nodes.t**2 + nodes.rho**2, 1.0, rtol=1e-14)
    assert math.isclose(nodes.weight.sum(), total, rel_tol=1e-12)
    assert math.isclose(nodes.weight @ nodes.t**2, k, rel_tol=1e-9)
    expected = nodes.t**tau_power * gaussian_moment(total, tau_power + 1) / total
    np.testing.assert_allclose(nodes.target[:, 0], expected, rtol=1e-9, atol=1e-14)
