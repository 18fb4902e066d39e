"""Meshes of smooth students: what is spread and gathered, and what it is on the nodes."""

import math

import numpy as np
import pytest
from scipy.special import erf

from meanfield.activations import get_activation
from meanfield.fields.slices.layouts import resolution
from meanfield.fields.slices.nodes import product_nodes
from meanfield.fields.slices.planes import PlaneMesh, SpaceMesh
from meanfield.fields.slices.smooth import DirectMesh, TensorMesh
from meanfield.gaussian.rules import half_sphere_rule
from tests.fields.slices.test_meshes import coordinate_law


def make_mesh(k, D, reach=4.0, student="erf"):
    directions, share = half_sphere_rule(k, 1 if k == 1 else 11)
    args = get_activation(student), D, directions, share, reach, reach, resolution(k, 1.0)
    if k > 1 and (student != "erf" or math.isfinite(D)):
        nodes = product_nodes(lambda z: z[..., 0], directions, k, D, (40, 20))
        return (PlaneMesh if k == 2 else SpaceMesh)(*args, nodes)
    return (TensorMesh if k == 2 else DirectMesh)(*args)


def neurons(n, k, seed=0):
    rng = np.random.default_rng(seed)
    a, u, r = rng.uniform(-1, 2, n), rng.normal(size=(n, k)), np.abs(rng.normal(size=n))
    r[:2] = 0.0
    return a, np.clip(u, -2.5, 2.5), r


@pytest.mark.slow
@pytest.mark.parametrize("D", [2, 9, 99, math.inf])
@pytest.mark.parametrize(("k", "tolerance"), [(1, 1e-9), (2, 1e-7), (3, 1e-7)])
def test_f_on_the_nodes(k, tolerance, D):
    """Matrix times moments is f along every direction, by the sum over neurons."""
    a, u, r = neurons(20, k)
    mesh = make_mesh(k, D)
    nodes = product_nodes(lambda z: z[..., 0], mesh.directions, k, D, (40, 20))
    f = mesh.matrix(nodes) @ mesh.spread(a, u, r).T
    U, w = coordinate_law(D)
    U, w = U[::20], w[::20] / w[::20].sum()
    for m in (0, len(mesh.directions) - 1):
        argument = nodes.t[:, None, None] * (u @ mesh.directions[m])[:, None]
        argument = argument + (nodes.rho[:, None] * r)[:, :, None] * U
        expected = (erf(argument / math.sqrt(2.0)) @ w) @ a / 20
        # the mesh is for the nodes as they count: far out f is rougher, and weighs nothing
        assert math.sqrt(nodes.weight @ (f[:, m] - expected) ** 2) < tolerance


@pytest.mark.parametrize(
    ("k", "D", "student"),
    [(1, 9, "erf"), (2, 9, "erf"), (3, 9, "erf"), (1, math.inf, "erf"), (2, math.inf, "erf"),
     (2, math.inf, "gelu"), (2, math.inf, "tanh"), (3, math.inf, "gelu")],
)  # fmt: skip
def test_gather_is_the_transpose_of_spread(k, D, student):
    """a du/dt is the slope of ⟨potential, moments⟩, share by share, as a neuron moves."""
    mesh = make_mesh(k, D, student=student)
    a, u, r = neurons(6, k, seed=1)
    a[:] = 1.0
    rng = np.random.default_rng(2)
    # a smooth potential: what g0 gives from nodes
    nodes = product_nodes(lambda z: z[..., 0], mesh.directions, k, D, (5, 3))
    share = mesh.share if mesh.odd else 0.5 * np.concatenate((mesh.share, mesh.share))
    epsilon = rng.normal(size=(len(nodes.t), len(share))) * nodes.weight[:, None]
    potential = np.ascontiguousarray((mesh.matrix(nodes).T @ epsilon).T)
    out = np.zeros(6), np.zeros((6, k)), np.zeros(6)
    mesh.gather(potential, a, u, r, 1.0, out)

    def energy(i, u_i, r_i):
        moments = mesh.spread(np.ones(1), u_i[None].copy(), np.array([r_i]))
        return float(((moments * potential).sum(axis=1) * share).sum())

    h = 1e-4
    for i in range(2, 6):
        assert out[0][i] == pytest.approx(energy(i, u[i], r[i]), abs=1e-9, rel=1e-9)
        for c, shift in enumerate(np.eye(k) * h):
            slope = (energy(i, u[i] + shift, r[i]) - energy(i, u[i] - shift, r[i])) / (2 * h)
            assert out[1][i, c] == pytest.approx(slope, abs=1e-7)
        slope = (energy(i, u[i], r[i] + h) - energy(i, u[i], r[i] - h)) / (2 * h)
        assert out[2][i] == pytest.approx(slope, abs=1e-7)
