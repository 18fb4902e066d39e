"""Fine and coarse mesh of one coordinate."""

import numpy as np
import pytest

from meanfield.fields.slices.axes import Axis, Resolution, contract

FINE = Resolution(0.05, 1e-11)
FUNCTIONS = {
    1: lambda x: 1.0 / (1.0 + x * x),
    -1: lambda x: x / np.sqrt(1.0 + x * x),
    0: lambda x: np.arctan(x) + 1.0 / (1.0 + x * x),
}


@pytest.mark.parametrize("parity", [1, -1, 0])
@pytest.mark.parametrize("reach", [0.3, 3.0, 40.0])
def test_coarse_points_hold_what_is_singular_at_i(parity, reach):
    axis = Axis(reach, FINE, parity, signed=parity != 1)
    function = FUNCTIONS[parity]
    place = axis.spacing * (np.arange(axis.count) - axis.origin)
    assert place[-1] > np.arcsinh(reach) + 4 * axis.spacing
    expected = function(np.sinh(place))
    np.testing.assert_allclose(axis.up @ function(axis.x), expected, rtol=0, atol=3e-9)
    assert np.array_equal(axis.down, axis.up.T)
    assert parity != 1 or len(axis.up) % 8 == 0  # whole vectors, for products with lengths
    assert (axis.x > 0).all() or parity == 0


def test_a_point_of_the_mesh_is_met_exactly():
    axis = Axis(2.0, FINE, 0)
    s = axis.end * np.sin(0.5 * np.pi * np.arange(1 - axis.coarse, axis.coarse, 2) / axis.coarse)
    np.testing.assert_array_equal(axis.interpolation(s), np.eye(axis.coarse))


def test_finer_meshes_have_more_points():
    counts = [Resolution(0.05, 1e-9, margin).points(5.0) for margin in (1.0, 1.3, 2.0)]
    assert counts == sorted(counts) and counts[0] < counts[-1]


def test_contract():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 4, 5))
    A, B, C = rng.normal(size=(6, 3)), rng.normal(size=(7, 4)), rng.normal(size=(2, 5))
    expected = np.einsum("ax,by,cz,xyz->abc", A, B, C, values)
    np.testing.assert_allclose(contract(values, [A, B, C]), expected, rtol=0, atol=1e-13)
