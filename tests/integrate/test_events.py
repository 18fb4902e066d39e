"""Events end an integration where a function of the state is 0, known in closed form here."""

import math

import numpy as np
import pytest

from meanfield.integrate import Status, integrate


class Of:
    """Events of plain functions of (t, y)."""

    def __init__(self, *functions, signed=False, refuse=lambda t: False):
        self.functions, self.refuse = functions, refuse
        self.names = [f"f{i}" for i in range(len(functions))]
        self.signed, self.end, self.looks = [signed] * len(functions), None, 0

    def values(self, t, y, slope):
        self.looks += 1
        return [f(t, y) for f in self.functions]

    def confirmed(self, index, t, y):
        return not self.refuse(t)

    def step_taken(self, y):
        pass

    def ends_run(self, index, t):
        self.end = index, t

    def arrays(self):
        return {}

    def restore(self, arrays):
        pass


def turning(t, y, out):
    out[0], out[1] = y[1], -y[0]


def stiff(t, y, out):
    out[0], out[1] = -y[0], -1e4 * (y[1] - y[0])


def run(
    event, rhs=turning, y0=(0.0, 1.0), t_end=20.0, save_at=(0.0, 1.0, 2.0, 3.0, 20.0), **options
):
    return integrate(
        rhs, np.array(y0), t_end, np.array(save_at), lambda t, y: {"y": y.copy(), "t": t},
        event=event, **options,
    )  # fmt: skip


@pytest.mark.parametrize("method", ["auto", "bogacki_shampine"])
def test_the_first_zero_is_located(method):
    """sin t = −0.3 after a half turn, though it is 0.3 before and after the first quarter."""
    event = Of(lambda t, y: y[0] + 0.3)
    found = run(event, method=method, rtol=1e-10)
    exact = math.pi + math.asin(0.3)
    assert found.t_reached == pytest.approx(exact, rel=1e-8)
    assert found.status is Status.SUCCESS and found.message.endswith("by f0")
    assert found.t.tolist() == [0.0, 1.0, 2.0, 3.0, found.t_reached]
    last = found.records[-1]
    assert last["t"] == found.t_reached and last["y"][0] + 0.3 == pytest.approx(0.0, abs=1e-8)
    assert last["y"][0] + 0.3 <= 0.0 and np.array_equal(last["y"], found.y)


def test_a_dip_within_a_step_is_seen():
    """The function is above 0 at both ends of every step that tolerances would choose."""
    for depth in (1e-2, 1e-3):
        event = Of(lambda t, y, depth=depth: 1.0 - y[0] - depth)
        found = run(event, rtol=1e-3)
        exact = math.asin(1.0 - depth)
        assert found.t_reached == pytest.approx(exact, abs=0.02)


def test_signs_are_met_from_either_side_and_not_at_the_start():
    for sign in (1.0, -1.0):
        event = Of(lambda t, y, sign=sign: sign * y[0], signed=True)
        assert run(event, rtol=1e-9).t_reached == pytest.approx(math.pi, rel=1e-7)
    assert run(Of(lambda t, y: y[0])).t_reached == 0.0
    assert run(Of(lambda t, y: 1.0)).t_reached == 20.0


def test_the_earliest_of_several_ends_the_run():
    event = Of(lambda t, y: 2.5 - t, lambda t, y: y[1] - 0.5, lambda t, y: 0.9 - y[0])
    found = run(event, rtol=1e-9)
    assert event.end == (1, found.t_reached)
    assert found.t_reached == pytest.approx(math.pi / 3, rel=1e-8)


def test_what_is_not_confirmed_is_looked_at_again_later():
    event = Of(lambda t, y: y[0] - 0.1, refuse=lambda t: t < 4.0)
    found = run(event, rhs=lambda t, y, out: np.negative(y, out=out), y0=(1.0,))
    assert 4.0 <= found.t_reached <= 1.25 * 4.0 + 1.0


def test_implicit_steps_are_cut_as_well():
    """The stiff method has long steps, in whose middle the zero lies."""
    event = Of(lambda t, y: math.log(y[1] / 1e-3))
    found = run(event, stiff, (1.0, 0.5), 100.0, rtol=1e-8)
    assert found.stats["implicit_steps"] > 0
    # y[1] → y[0] 1e4/(1e4 − 1)
    exact = -math.log(1e-3 * (1.0 - 1e-4))
    assert found.t_reached == pytest.approx(exact, rel=1e-6)


def test_looks_cost_one_a_step_far_from_zero():
    event = Of(lambda t, y: 100.0 + y[0])
    found = run(event)
    assert event.looks <= found.stats["steps"] + 2
