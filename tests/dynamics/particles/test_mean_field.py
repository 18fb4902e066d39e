"""Runs of the particle solver."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import meanfield as mf
from meanfield.dynamics.particles.flow import ParticleFlow
from meanfield.dynamics.run import Request, Tolerances
from meanfield.fields import choose_field
from meanfield.fields.pairs.closed import PairField
from meanfield.fields.slices import layouts
from meanfield.integrate import Status, Trajectory
from tests.fields.cases import ACTIVATIONS, make_measure, make_problem, velocity
from tests.reference import mean_field as twin

pytestmark = pytest.mark.usefixtures("interrupted_results")


@pytest.mark.parametrize("kappa", [0.0, 0.5])
@pytest.mark.parametrize("D", [3, math.inf])
@pytest.mark.parametrize("sigma", ACTIVATIONS)
def test_the_risk_falls_by_the_squared_velocity(sigma, D, kappa):
    """dR/dt = −∫ |du/dt|² + (dr/dt)² + (da/dt)²/κ dμ: a gradient flow, with a κ times as fast."""
    problem, m = make_problem(sigma, "erf", k=2, D=D, kappa=kappa), make_measure(2, n=20)
    field = choose_field(problem, m)
    da, du, dr = velocity(field, m)
    da = da if kappa > 0 else np.zeros(20)
    h = 1e-4
    up, down = (field.risk(m.a + s * da, m.u + s * du, m.r + s * dr) for s in (h, -h))
    expected = -((du**2).sum(axis=1) + dr**2).mean()
    if kappa > 0:
        expected -= (da**2).mean() / kappa
    assert math.isclose((up - down) / (2 * h), expected, rel_tol=1e-6)


@pytest.mark.parametrize("sigma", ACTIVATIONS)
def test_the_risk_falls_along_a_run(sigma):
    problem = make_problem(sigma, sigma, D=20, kappa=1.0)
    run = mf.solve_mean_field(problem, make_measure(1, n=50, scale=0.5), 10.0)
    assert run.success and len(run.t) == 51
    assert (np.diff(run.risk) < 0).all()
    assert run.risk[-1] < 0.7 * run.risk[0]


def independent_final(problem, measure, t_end):
    """The twin's velocities under another integrator, of eighth order."""
    n, k = measure.u.shape

    def split(y):
        return y[:n], y[n : n + n * k].reshape(n, k), y[n + n * k :]

    def rhs(t, y):
        return twin.flow(problem, *split(y)).stacked()

    start = np.concatenate((measure.a, measure.u.ravel(), measure.r))
    found = solve_ivp(rhs, (0.0, t_end), start, "DOP853", rtol=1e-9, atol=1e-11)
    assert found.success
    return split(found.y[:, -1])


@pytest.mark.parametrize(
    ("sigma", "tau", "k", "D", "kappa", "evaluator", "tolerance"),
    [
        ("erf", "erf", 1, 1, 1.0, "auto", 1e-7),
        ("erf", "relu", 2, 99, 0.0, "auto", 1e-7),
        ("erf", "erf", 1, 99, 1.0, "slices", 1e-7),
        ("erf", "square", 1, math.inf, 1.0, "slices", 1e-7),
        ("relu", "relu", 1, math.inf, 1.0, "auto", 1e-5),
        ("relu", "erf", 2, math.inf, 0.0, "auto", 1e-5),
        ("relu", "relu", 1, 30, 0.0, "slices", 1e-5),
        ("square", "square", 2, 9, 1.0, "auto", 1e-7),
        ("square", "erf", 1, math.inf, 0.0, "auto", 1e-7),
    ],
)
def test_trajectories(sigma, tau, k, D, kappa, evaluator, tolerance):
    """r stays positive in these runs, so that the flow is smooth."""
    problem = make_problem(sigma, tau, k=k, D=D, kappa=kappa)
    draw = make_measure(k, n=30, scale=0.4, seed=7)
    measure = mf.ParticleMeasure(draw.a, draw.u, draw.r + 0.5)
    run = mf.solve_mean_field(
        problem, measure, 3.0, save_at=2, rtol=1e-9, atol=1e-12, evaluator=evaluator
    )
    if evaluator != "auto":
        assert run.stats["field"] == "slices"
    expected = independent_final(problem, measure, 3.0)
    found = (run.final.a, run.final.u, run.final.r)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=tolerance)
    assert math.isclose(run.risk[-1], twin.flow(problem, *expected).risk, abs_tol=tolerance)


def test_tolerances_converge_at_the_order_of_the_method():
    problem, measure = make_problem(D=20), make_measure(1, n=20)

    def final(rtol):
        run = mf.solve_mean_field(problem, measure, 5.0, save_at=2, rtol=rtol, atol=1e-3 * rtol)
        return run.stats["rhs_evaluations"], run.final.points()

    _, exact = final(1e-12)
    runs = [final(rtol) for rtol in (1e-6, 1e-8, 1e-10)]
    work = np.log([evaluations for evaluations, _ in runs])
    errors = np.log([np.abs(points - exact).max() for _, points in runs])
    assert -6.5 < np.polyfit(work, errors, 1)[0] < -4.0
    assert errors[-1] < math.log(1e-7)


def test_saved_times():
    problem, measure = make_problem(D=20), make_measure(1, n=20)
    times = mf.logarithmic_times(2.0, 7)
    run = mf.solve_mean_field(problem, measure, 2.0, save_at=times, rtol=1e-9, atol=1e-12)
    assert np.array_equal(run.t, times)
    assert len(run.states) == len(run.risk) == 7
    assert run.states[0] == measure
    for t, state, risk in list(zip(run.t, run.states, run.risk, strict=True))[1:-1]:
        alone = mf.solve_mean_field(problem, measure, t, save_at=[t], rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(state.points(), alone.final.points(), rtol=0, atol=1e-7)
        assert math.isclose(risk, alone.risk[0], rel_tol=1e-6)
    other = mf.solve_mean_field(problem, measure, 2.0, save_at=3, rtol=1e-9, atol=1e-12)
    assert other.final == run.final  # what is recorded does not move what is computed


def test_states_can_be_left_out():
    problem, measure = make_problem(D=20), make_measure(1, n=20)
    every = mf.solve_mean_field(problem, measure, 1.0, save_at=6)
    ends = mf.solve_mean_field(problem, measure, 1.0, save_at=6, keep="ends")
    assert np.array_equal(ends.t, every.t) and np.array_equal(ends.risk, every.risk)
    assert len(ends.states) == 2
    assert ends.states[0] == measure and ends.final == every.final


@pytest.mark.parametrize("evaluator", ["auto", "slices"])
@pytest.mark.parametrize("sigma", ["erf", "relu"])
def test_threads_and_repetition_change_nothing(sigma, evaluator):
    problem = make_problem(sigma, D=99, kappa=1.0)
    runs = [
        mf.solve_mean_field(
            problem,
            mf.gaussian_measure(problem, 300, seed=5),
            0.3,
            save_at=3,
            evaluator=evaluator,
            threads=threads,
        )
        for threads in (1, 2, 2)
    ]
    assert runs[0].stats["field"] == ("slices" if evaluator == "slices" else runs[0].stats["field"])
    assert runs[0] == runs[1] == runs[2]


def test_square_runs_do_not_depend_on_threads():
    problem = make_problem("square", "erf", k=2)
    measure = make_measure(2, n=300, scale=0.3)
    one, two = (mf.solve_mean_field(problem, measure, 1.0, save_at=3, threads=t) for t in (1, 2))
    assert one == two


@pytest.mark.parametrize("sigma", ACTIVATIONS)
def test_mass_and_lengths_are_kept(sigma):
    """No neuron is lost, r stays at least 0, and a fixed second layer stays fixed."""
    problem = make_problem(sigma, D=5, kappa=0.0)
    measure = make_measure(1, n=40)
    run = mf.solve_mean_field(problem, measure, 5.0, save_at=5)
    for state in run.states:
        assert state.n == 40 and (state.r >= 0).all()
        assert np.array_equal(state.a, measure.a)
    assert not np.array_equal(run.final.u, measure.u)


def test_a_step_that_carries_r_below_zero_records_its_mirror_image():
    """With no tolerance to speak of r overshoots 0; (u, r) and (u, −r) are the same neuron."""
    problem = make_problem(D=3, kappa=0.0)
    measure = mf.ParticleMeasure([3.0, 3.0], [[0.1], [0.2]], [1.5, 0.5])
    flow = ParticleFlow(problem, measure, Request.checked(1.0, [1.0]), Tolerances())
    y = np.array([0.1, 0.2, -1.5, 0.5])
    run = Trajectory(np.zeros(1), [flow.observe(0.0, y)], y, 0.0, Status.SUCCESS, "")
    assert flow._series(run)[0] == measure
    rough = mf.solve_mean_field(problem, measure, 200.0, save_at=20, rtol=5.0, atol=50.0)
    assert all((state.r >= 0).all() for state in rough.states)


def test_a_dirac_stays_a_dirac():
    """At d = ∞ all Gaussian neurons start alike, and remain so bit for bit."""
    for sigma in ACTIVATIONS:
        problem = make_problem(sigma, "erf", k=2, D=math.inf)
        run = mf.solve_mean_field(problem, mf.gaussian_measure(problem, 10), 2.0, save_at=3)
        points = run.final.points()
        assert (points == points[0]).all()


def test_three_directions_run():
    problem = make_problem(k=3, D=20, kappa=1.0)
    run = mf.solve_mean_field(problem, mf.gaussian_measure(problem, 30), 2.0, save_at=3)
    assert run.success and (np.diff(run.risk) < 0).all()


@pytest.mark.parametrize(("sigma", "D"), [("square", 9), ("square", math.inf), ("erf", 9)])
def test_divergence_is_a_status(sigma, D):
    problem = make_problem(sigma, "erf", D=D)
    measure = mf.gaussian_measure(problem, 6, scale=1e200)
    run = mf.solve_mean_field(problem, measure, 1.0, save_at=3)
    assert run.status is mf.Status.DIVERGED
    assert "finite" in run.message
    assert list(run.t) == [0.0] and len(run.states) == len(run.risk) == 1
    assert run.final == measure


def test_interruption_keeps_what_was_computed(monkeypatch):
    problem, calls = make_problem(D=9), []

    def interrupting(self, *arguments, real=PairField.velocity):
        calls.append(1)
        if len(calls) > 40:
            raise KeyboardInterrupt
        real(self, *arguments)

    monkeypatch.setattr(PairField, "velocity", interrupting)
    run = mf.solve_mean_field(problem, make_measure(1, n=10), 50.0)
    assert run.status is mf.Status.INTERRUPTED and "interrupted" in run.message
    assert 0 < len(run.t) == len(run.risk) == len(run.states) < 51


def test_a_field_that_cannot_be_accurate_says_so():
    """ReLU in two directions through slices: the kinks keep the error at 1e-3 or so."""
    problem, measure = make_problem("relu", k=2, D=math.inf), make_measure(2, n=300)
    run = mf.solve_mean_field(problem, measure, 0.02, save_at=2, evaluator="slices")
    assert run.status is mf.Status.INACCURATE and not run.success
    assert "relative error" in run.message
    assert run.stats["field_error"] > 1e-5
    assert list(run.t) == [0.0, 0.02] and len(run.states) == 2


def test_a_field_kept_from_refining_says_so(monkeypatch):
    monkeypatch.setattr(layouts, "MATRIX_BYTES", 2**16)
    run = mf.solve_mean_field(
        make_problem(D=9), make_measure(1, n=50), 0.1, save_at=2, rtol=1e-9, evaluator="slices"
    )
    assert run.status is mf.Status.INACCURATE
    assert run.stats["field_error"] > 1e-8


def test_the_velocity_of_a_state():
    problem, measure = make_problem(k=2, D=9, kappa=0.7), make_measure(2, n=30)
    found = mf.mean_field_velocity(problem, measure)
    expected = twin.flow(problem, measure.a, measure.u, measure.r)
    for mine, theirs in zip(found, (expected.da, expected.du, expected.dr), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-12)
    frozen = mf.Problem(problem.target, "erf", problem.dim)
    assert not mf.mean_field_velocity(frozen, measure).a.any()


@pytest.mark.parametrize("kappa", [0.0, 1.0])
def test_a_run_on_disk_equals_itself(tmp_path, kappa):
    problem = make_problem("erf", "relu", k=2, D=math.inf, kappa=kappa)
    start = mf.gaussian_measure(problem, 20, seed=3)
    run = mf.solve_mean_field(problem, start, 1.0, save_at=4)
    read = mf.load(run.save(tmp_path / "run.npz"))
    assert read == run
    assert read.states[1] == run.states[1]
    assert read.parameters["seed"] == 3 and read.parameters["version"] == mf.__version__


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"t_end": 0.0}, "t_end"),
        ({"t_end": math.nan}, "t_end"),
        ({"save_at": [0.0, 2.0]}, "save_at"),
        ({"save_at": 1}, "save_at"),
        ({"rtol": 0.0}, "rtol"),
        ({"atol": -1.0}, "atol"),
        ({"threads": 0}, "threads"),
        ({"evaluator": "meshes"}, "evaluator must be one of 'auto', 'polynomial', 'pairs'"),
        ({"measure": make_measure(2, n=3)}, "measure"),
    ],
)
def test_bad_arguments_are_named(change, name):
    arguments = {"measure": make_measure(1, n=3), "t_end": 1.0, **change}
    with pytest.raises(ValueError, match=name):
        mf.solve_mean_field(make_problem(), **arguments)
