"""A layout is put back bit for bit, wherever the neurons have been since."""

import numpy as np
import pytest

import meanfield as mf
from meanfield.fields.choose import EVALUATORS, choose_field
from meanfield.fields.pairs.closed import PairField
from meanfield.fields.slices.field import SliceField
from tests.fields.cases import make_measure, make_problem, velocity


@pytest.mark.parametrize("kind", [PairField, SliceField])
@pytest.mark.parametrize("sigma", ["erf", "relu"])
def test_layouts_are_put_back(kind, sigma):
    problem = make_problem(sigma, D=99, kappa=1.0)
    start, far = make_measure(1, n=40, scale=0.3), make_measure(1, n=40, scale=1.5, seed=3)
    moved, fresh = kind(problem), kind(problem)
    moved.prepare(start)
    velocity(moved, far)  # a wider layout, that stays
    fresh.prepare(start)
    before = velocity(fresh, start)
    fresh.restore(moved.layout_state())
    assert fresh.layout_state() == moved.layout_state()
    for mine, theirs in zip(velocity(fresh, start), velocity(moved, start), strict=True):
        assert mine.tobytes() == theirs.tobytes()
    if sigma == "erf":  # the layout matters: this is not the same by itself
        assert any(
            a.tobytes() != b.tobytes() for a, b in zip(before, velocity(fresh, start), strict=True)
        )
    assert np.isfinite(before[1]).all()


STUDENTS = {"series": "tanh", "quadrature": "tanh", "half-sphere": "relu", "polynomial": "square"}


@pytest.mark.parametrize("name", EVALUATORS)
def test_a_right_hand_side_changes_nothing(name):
    """Not even of neurons beyond its layout; asked after a step, it is laid out for them."""
    problem = mf.Problem(mf.CommitteeTarget(2), STUDENTS.get(name, "erf"), second_layer_rate=1.0)
    start, far = make_measure(2, n=12, scale=0.1), make_measure(2, n=12, scale=0.7)
    field = choose_field(problem, start, name)
    before, state = velocity(field, start), field.layout_state()
    out = [np.empty_like(part) for part in far.arrays()]
    field.velocity(*far.arrays(), *out)
    assert field.layout_state() == state
    for mine, theirs in zip(velocity(field, start), before, strict=True):
        assert mine.tobytes() == theirs.tobytes()
    if field.outgrown(*far.arrays()):
        assert field.grow(*far.arrays()) and not field.outgrown(*far.arrays())
        assert field.layout_state() != state
    assert all(np.isfinite(part).all() for part in velocity(field, far))
    assert field.error_estimate(far) < 1e-2
