"""A layout is put back bit for bit, wherever the neurons have been since."""

import numpy as np
import pytest

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
