"""States along a run, built from stacked arrays one at a time."""

import numpy as np
import pytest

import meanfield as mf
from meanfield.dynamics.state_series import StateSeries


def measures(T=3, runs=None):
    shape = (T,) if runs is None else (runs, T)
    u = np.arange(np.prod(shape) * 2, dtype=float).reshape(*shape, 2, 1)
    varying = {"u": u, "r": np.ones((*shape, 2))}
    return StateSeries("ParticleMeasure", varying, {"a": np.ones(2)}, shape, {"seed": 5})


def test_indexing_builds_states():
    states = measures()
    assert len(states) == 3
    assert states[1] == mf.ParticleMeasure([1, 1], [2.0, 3.0], [1, 1])
    assert states[-1] == states[2] != states[0]
    assert states[0].origin == {"seed": 5}
    assert [s.u[0, 0] for s in states] == [0.0, 2.0, 4.0]
    with pytest.raises(IndexError):
        states[3]


def test_runs_come_before_times():
    states = measures(runs=4)
    assert len(states) == 4
    assert states[3].shape == (3,)
    assert states[3][2].u.ravel().tolist() == [22.0, 23.0]
    assert len(list(states)) == 4
    assert repr(states) == "<4 × 3 ParticleMeasure states>"


def test_equality_looks_at_kind_shape_and_arrays():
    states = measures()
    assert states == measures()
    assert states != measures(T=2)
    assert states != measures(runs=3)
    other = measures()
    other.fixed["a"] = np.zeros(2)
    assert states != other
    other = measures()
    other.varying["r"] = np.where(np.arange(2) == 1, 2.0, other.varying["r"])
    assert states != other
    assert states != "states"


def test_a_slice_is_a_series():
    u = np.arange(12.0).reshape(4, 3, 1)
    series = StateSeries("ParticleMeasure", {"u": u, "r": u[..., 0]}, {"a": np.ones(3)}, (4,), {})
    part = series[1:3]
    assert len(part) == 2
    assert part[0] == series[1] and part[-1] == series[2]
