"""Orders are measured; every way a run can end keeps what was recorded."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from meanfield.integrate import Status, integrate
from meanfield.integrate.equation import Equation
from meanfield.integrate.explicit import BOGACKI_SHAMPINE, DORMAND_PRINCE, Explicit, Plan, Tableau
from meanfield.kernels.integrate import BLOCK
from meanfield.kernels.threads import thread_limit


def smooth(t, y, out):
    """A pendulum-like pair with a driven third component: non-linear, and t matters."""
    out[0], out[1] = y[1], -np.sin(y[0])
    out[2] = np.cos(t) * y[2]


START = np.array([1.0, 0.5, 2.0])


def decay(t, y, out):
    out[:] = -y


def run(rhs, y0, t_end, save_at, **options):
    start = np.array(y0, dtype=float)
    return integrate(
        rhs, start, t_end, np.array(save_at, dtype=float), lambda t, y: {"y": y.copy()}, **options
    )


def states(found):
    return [record["y"] for record in found.records]


def exact(times):
    """The smooth problem by another method, of eighth order."""

    def velocity(t, y):
        out = np.empty_like(y)
        smooth(t, y, out)
        return out

    end = (0.0, times[-1])
    return solve_ivp(velocity, end, START, "DOP853", times, rtol=1e-13, atol=1e-14).y.T


def slope(x, y):
    return np.polyfit(np.log(x), np.log(y), 1)[0]


# a method is its table: this one, of Tsitouras 2011, is known to nothing but these tests
TSITOURAS = Tableau(
    name="Tsitouras 5(4)",
    nodes=np.array([0.0, 0.161, 0.327, 0.9, 0.9800255409045097, 1.0, 1.0]),
    stages=np.array(
        [
            [0.0] * 6,
            [0.161, 0.0, 0.0, 0.0, 0.0, 0.0],
            [-0.008480655492356989, 0.335480655492357, 0.0, 0.0, 0.0, 0.0],
            [2.8971530571054935, -6.359448489975075, 4.3622954328695815, 0.0, 0.0, 0.0],
            [
                5.325864828439257, -11.748883564062828, 7.4955393428898365,
                -0.09249506636175525, 0.0, 0.0,
            ],
            [
                5.86145544294642, -12.92096931784711, 8.159367898576159,
                -0.071584973281401, -0.028269050394068383, 0.0,
            ],
            [
                0.09646076681806523, 0.01, 0.4798896504144996,
                1.379008574103742, -3.290069515436081, 2.324710524099774,
            ],
        ]
    ),
    error=np.array(
        [
            -0.00178001105222577714, -0.0008164344596567469, 0.007880878010261995,
            -0.1447110071732629, 0.5823571654525552, -0.45808210592918697, 1 / 66,
        ]
    ),
    dense=np.array(
        [
            -1.0530884977290216, 0.1017, 2.490627285651253, -16.548102889244902,
            47.37952196281928, -34.87065786149661, 2.5,
        ]
    ),
    order=5,
    error_order=4,
)  # fmt: skip
TABLEAUX = [DORMAND_PRINCE, BOGACKI_SHAMPINE, TSITOURAS]
# the leading error of Tsitouras' is so small that the next one shows
SLACK = {TSITOURAS.name: 0.5}
every_method = pytest.mark.parametrize("tableau", TABLEAUX, ids=lambda tableau: tableau.name)


def fixed_steps(tableau, h, t_end, inside=(), rtol=1e30, atol=1e30, rhs=smooth, **options):
    """Steps of size h whatever the error: the state at t_end, states `inside` each, the last."""
    work = Plan(tableau).work
    equation = Equation(rhs, START, rtol, atol, work=work, **options)
    method, rows, t, seen = Explicit(equation, tableau), tuple(range(work)), 0.0, []
    equation.slope(0.0, rows[0], rows[1])
    while t < t_end * (1 - 1e-12):
        step = method.attempt(t, h, rows)
        for x in inside:
            row = method.interpolate(step, t + x * h, step.rows[2])
            seen.append((t + x * h, equation.rows[row].copy()))
        t, rows = t + h, step.rows
    return equation.rows[rows[0]].copy(), seen, step


@every_method
def test_the_order_of_a_method(tableau):
    steps = np.array([10, 14, 20, 28, 40])
    truth = exact([0.0, 2.0])[-1]
    errors = [abs(fixed_steps(tableau, 2.0 / m, 2.0)[0] - truth).max() for m in steps]
    assert slope(steps, errors) == pytest.approx(
        -tableau.order - SLACK.get(tableau.name, 0.0), abs=0.25
    )


@every_method
def test_the_order_of_dense_output(tableau):
    """Fourth, or the method's. Over one step, where nothing has accumulated, one more."""
    sizes, errors = [0.28, 0.2, 0.14, 0.1, 0.07], []
    for h in sizes:
        _, seen, _ = fixed_steps(tableau, h, h, inside=(0.25, 0.5, 0.85))
        truth = exact([0.0, *(t for t, _ in seen), h])[1:-1]
        errors.append(abs(np.array([y for _, y in seen]) - truth).max())
    assert slope(sizes, errors) == pytest.approx(min(4, tableau.order) + 1, abs=0.3)


@every_method
def test_the_order_of_the_error_estimate_which_is_one(tableau):
    sizes, estimates, errors = np.array([0.28, 0.2, 0.14, 0.1]), [], []
    if tableau.order == 3:  # a component that bends late must not be in the way
        sizes = 0.1 * sizes
    for h in sizes:
        y, _, step = fixed_steps(tableau, h, h, rtol=0.0, atol=1.0)
        estimates.append(step.error)
        errors.append(np.sqrt(((y - exact([0.0, h])[-1]) ** 2).mean()))
    assert slope(sizes, estimates) == pytest.approx(tableau.error_order + 1, abs=0.3)
    assert slope(sizes, errors) == pytest.approx(
        tableau.order + 1 + SLACK.get(tableau.name, 0.0), abs=0.4
    )
    assert (np.array(errors) < np.array(estimates)).all()


@every_method
def test_slopes_may_take_the_place_of_states(tableau):
    """The same numbers, with one row never written."""
    apart, together = (
        fixed_steps(tableau, 0.1, 0.5, inside=(0.3,), rhs=decay, in_place=flag)
        for flag in (False, True)
    )
    assert np.array_equal(apart[0], together[0])
    assert np.array_equal(apart[1][-1][1], together[1][-1][1])


def test_a_method_by_its_name_takes_all_steps():
    """Where stiffness holds it back, as elsewhere; "auto" goes over to implicit ones."""

    def stiff(t, y, out):
        out[0], out[1] = -1000.0 * (y[0] - np.cos(t)), -y[1]

    truth = [np.cos(3.0), np.exp(-3.0)]
    found = {
        method: run(stiff, [1.0, 1.0], 3.0, [3.0], rtol=1e-4, method=method)
        for method in ("auto", "dormand_prince", "bogacki_shampine")
    }
    for each in found.values():
        assert each.y == pytest.approx(truth, abs=2e-3)
    implicit = {method: each.stats["implicit_steps"] for method, each in found.items()}
    assert implicit["auto"] > 0 == implicit["dormand_prince"] == implicit["bogacki_shampine"]
    assert found["bogacki_shampine"].stats["method"] == "Bogacki-Shampine 3(2)"


def test_tolerance_ladder():
    """Error follows the tolerance, and the fifth power of the number of steps."""
    times = np.linspace(0.0, 10.0, 41)
    truth = exact(times)
    rtols = 10.0 ** -np.arange(6, 12)
    errors, dense_errors, steps = [], [], []
    for rtol in rtols:
        found = run(smooth, START, 10.0, times, rtol=rtol, atol=rtol)
        errors.append(abs(states(found)[-1] - truth[-1]).max())
        dense_errors.append(abs(np.array(states(found)) - truth).max())
        steps.append(found.stats["steps"])
    assert (np.array(dense_errors) < 50 * rtols).all()
    assert slope(rtols, errors) == pytest.approx(1.0, abs=0.15)
    assert slope(steps, errors) == pytest.approx(-5.0, abs=0.5)
    assert slope(steps, dense_errors) == pytest.approx(-5.0, abs=0.5)


def test_lands_exactly_on_the_times_asked_for():
    times = np.array([0.0, 0.1, 1 / 3, 0.7, 0.7000001, 3.0])
    found = run(decay, [1.0, 2.0], 3.0, times)
    assert found.status is Status.SUCCESS and found.message == "reached t = 3"
    assert found.t.tolist() == times.tolist()
    assert states(found)[0].tolist() == [1.0, 2.0]
    assert states(found)[-1].tolist() == found.y.tolist()
    assert found.t_reached == 3.0
    expected = np.outer(np.exp(-times), [1.0, 2.0])
    assert np.array(states(found)) == pytest.approx(expected, rel=1e-5)


def test_saving_does_not_change_the_steps():
    sparse = run(smooth, START, 5.0, [5.0])
    dense = run(smooth, START, 5.0, np.linspace(0.0, 5.0, 1001))
    none = run(smooth, START, 5.0, [])
    assert sparse.stats == dense.stats == none.stats
    assert sparse.y.tobytes() == dense.y.tobytes() == none.y.tobytes()
    assert (sparse.t.tolist(), none.t.tolist()) == ([5.0], [])


def test_the_caller_keeps_its_start():
    start = START.copy()
    run(smooth, start, 1.0, [1.0])
    assert (start == START).all()


def test_counts_are_what_happened():
    calls = 0

    def counted(t, y, out):
        nonlocal calls
        calls += 1
        smooth(t, y, out)

    positions = []
    found = run(counted, START, 5.0, [5.0], advance=positions.append)
    assert found.stats["rhs_evaluations"] == calls
    assert found.stats["steps"] == len(positions)
    attempts = found.stats["steps"] + found.stats["rejected_steps"]
    assert calls == 2 + 6 * attempts  # two to choose the first step
    assert positions == sorted(positions) and positions[-1] == 5.0


@pytest.mark.parametrize("t_end", [1e-9, 1.0, 1e6])
def test_time_has_no_unit(t_end):
    """The same curve at another speed takes the same steps."""

    def scaled(t, y, out):
        smooth(t / t_end, y, out)
        out /= t_end

    found = run(scaled, START, t_end, [t_end])
    assert states(found)[-1] == pytest.approx(exact([0.0, 1.0])[-1], rel=1e-5)
    assert found.stats["steps"] <= run(smooth, START, 1.0, [1.0]).stats["steps"] + 8


def test_steps_do_not_depend_on_the_number_of_copies():
    def many(t, y, out):
        out[:] = -y * y

    one, thousand = run(many, [1.0], 5.0, [5.0]), run(many, np.ones(1000), 5.0, [5.0])
    assert one.stats == thousand.stats


def test_threads_do_not_change_a_bit():
    y0 = np.random.default_rng(0).random(3 * BLOCK + 11)
    finals = []
    for threads in (1, 2):
        with thread_limit(threads):
            finals.append(run(lambda t, y, out: np.multiply(-y, y, out), y0, 3.0, [3.0]))
    assert finals[0].y.tobytes() == finals[1].y.tobytes()
    assert finals[0].stats == finals[1].stats


@pytest.mark.parametrize("size", [1.0, 1e-12, 1e6])
@pytest.mark.parametrize("small", [1e-3, 1e-9, 1e-15, 1e-20])
def test_what_grows_from_little_is_right_to_the_tolerance(small, size):
    """Beside components that are large and come to rest; and whatever the unit."""
    rates = np.array([1.0, -1.0, -0.3, -3.0])
    start = size * np.array([small, 1.0, -2.0, 0.5])
    t_end = -np.log(small) - 1.0
    found = run(lambda t, y, out: np.multiply(rates, y, out), start, t_end, [t_end])
    assert found.status is Status.SUCCESS
    assert found.y[0] == pytest.approx(start[0] * np.exp(t_end), rel=1e-4)
    assert found.stats["rhs_evaluations"] < 1500


def test_a_component_that_passes_through_zero_costs_nothing():
    def turn(t, y, out):
        out[0], out[1] = y[1], -y[0]

    found = run(turn, [0.0, 1.0], 50.0, [50.0])
    assert found.y == pytest.approx([np.sin(50.0), np.cos(50.0)], abs=1e-4)
    assert found.stats["rhs_evaluations"] < 1900  # 1742 with an absolute floor for all


def test_growth_that_drowns_in_rounding_does_not_stop_a_run():
    """Velocities with an error of 1e-12 of their own: below it nothing is asked of growth."""

    def noisy(t, y, out):
        out[:] = y * [0.5, -0.01] + [1e-12 * np.sin(1e15 * y[1]), 0.0]

    found = run(noisy, [1e-14, 1.0], 30.0, [30.0])
    assert found.status is Status.SUCCESS
    assert found.stats["rhs_evaluations"] < 2500


def test_idle_components_do_not_dilute_the_error():
    def few(t, y, out):
        out[:] = 0.0
        smooth(t, y[:3], out[:3])

    alone = run(smooth, START, 10.0, [10.0])
    beside = run(few, np.concatenate((START, np.ones(10_000))), 10.0, [10.0])
    assert beside.y[:3] == pytest.approx(alone.y, rel=1e-5)
    assert beside.stats["steps"] == pytest.approx(alone.stats["steps"], rel=0.1)


def test_what_weighs_next_to_nothing_does_not_dilute_the_error():
    """Though it moves, and without an error."""

    def few(t, y, out):
        out[:] = 1.0
        smooth(t, y[:3], out[:3])

    def steps(weight):
        start = np.concatenate((START, np.ones(10_000)))
        return run(few, start, 10.0, [10.0], weight=weight).stats["steps"]

    alone = run(smooth, START, 10.0, [10.0]).stats["steps"]
    assert steps(np.repeat([1.0, 1e-12], [3, 10_000])) == pytest.approx(alone, rel=0.1)
    assert steps(None) < 0.7 * alone


def test_at_rest():
    found = run(lambda t, y, out: out.fill(0.0), [1.0, 0.0], 1e3, [0.0, 500.0, 1e3])
    assert found.status is Status.SUCCESS
    assert [y.tolist() for y in states(found)] == [[1.0, 0.0]] * 3


def test_blow_up_in_finite_time_is_divergence():
    def blow_up(t, y, out):
        out[:] = y * y  # y = 1/(1 − t)

    times = np.linspace(0.0, 2.0, 21)
    found = run(blow_up, [1.0], 2.0, times)
    assert found.status is Status.DIVERGED
    assert "grows without bound" in found.message and "t = 1" in found.message
    assert found.t_reached == pytest.approx(1.0)
    assert found.t.tolist() == times[times < found.t_reached].tolist()
    assert np.ravel(states(found)[:10]) == pytest.approx(1 / (1 - times[:10]), rel=1e-4)


def test_overflow_is_divergence():
    def overflow(t, y, out):
        with np.errstate(over="ignore"):
            out[:] = np.exp(np.exp(y))

    found = run(overflow, [5.0], 2.0, [0.0, 1.0])
    assert found.status in (Status.DIVERGED, Status.STEP_COLLAPSED)
    assert found.t.tolist() == [0.0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_velocity_that_stops_being_finite_is_divergence(bad):
    def broken(t, y, out):
        out[:] = bad if t > 0.5 else -y

    found = run(broken, [1.0], 2.0, np.linspace(0.0, 2.0, 21))
    assert found.status is Status.DIVERGED
    assert "t = 0.5" in found.message
    assert found.t.tolist() == np.linspace(0.0, 2.0, 21)[:5].tolist()
    assert np.isfinite(states(found)).all() and np.isfinite(found.y).all()


def test_a_velocity_that_is_never_finite():
    found = run(lambda t, y, out: out.fill(np.nan), [1.0], 2.0, [0.0, 1.0])
    assert found.status is Status.DIVERGED and "not finite at t = 0" in found.message
    assert found.t.tolist() == [0.0]


def test_tolerances_that_cannot_be_met():
    rng = np.random.default_rng(0)

    def noise(t, y, out):
        out[:] = rng.normal(size=y.size) if t > 0.5 else 1.0

    found = run(noise, [1.0], 1.0, [0.0, 1.0], rtol=1e-16, atol=1e-18)
    assert found.status is Status.STEP_COLLAPSED
    assert "rtol = 1e-16, atol = 1e-18 cannot be met" in found.message
    assert found.t.tolist() == [0.0]


def test_too_many_steps():
    times = np.linspace(0.0, 50.0, 501)
    found = run(smooth, START, 50.0, times, max_steps=20)
    assert found.status is Status.MAX_STEPS
    assert "after 20 steps" in found.message
    assert found.stats["steps"] + found.stats["rejected_steps"] == 20
    assert found.t.tolist() == times[times <= found.t_reached].tolist()
    whole = run(smooth, START, 50.0, times)
    assert (np.array(states(found)) == np.array(states(whole)[: len(found.t)])).all()


def interrupted_run(where, count):
    """The smooth run, with a Ctrl-C in the `count`-th call of one of the three callbacks."""
    calls = {"rhs": 0, "observe": 0, "advance": 0}

    def called(name):
        calls[name] += 1
        if name == where and calls[name] == count:
            raise KeyboardInterrupt

    def rhs(t, y, out):
        called("rhs")
        smooth(t, y, out)

    def observe(t, y):
        called("observe")
        return {"y": y.copy()}

    return integrate(
        rhs, START, 10.0, np.linspace(0.0, 10.0, 101), observe, advance=lambda t: called("advance")
    )


@pytest.mark.parametrize(
    ("where", "count"),
    [("rhs", 1), ("rhs", 2), ("rhs", 57), ("observe", 1), ("observe", 30), ("advance", 5)],
)
def test_ctrl_c_keeps_what_was_recorded(where, count):
    found = interrupted_run(where, count)
    whole = run(smooth, START, 10.0, np.linspace(0.0, 10.0, 101))
    assert found.status is Status.INTERRUPTED
    assert found.message.startswith("interrupted at t = ") and found.message.endswith("of 10")
    assert len(found.t) == len(found.records) < len(whole.t)
    assert found.t.tolist() == whole.t[: len(found.t)].tolist()
    for mine, theirs in zip(states(found), states(whole), strict=False):
        assert mine.tobytes() == theirs.tobytes()
    assert np.isfinite(found.y).all()
    if where == "observe":
        assert len(found.records) == count - 1


def test_other_exceptions_are_not_swallowed():
    def fails(t, y, out):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        run(fails, [1.0], 1.0, [1.0])
