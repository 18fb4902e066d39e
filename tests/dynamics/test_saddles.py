"""Saddles are left in time from any distance; idle neurons do not dilute the error of a step."""

import math

import numpy as np
import pytest

import meanfield as mf

LEVEL = 0.5


def crossing(t, values, level=LEVEL):
    """When values first exceed a level: they grow like an exponential."""
    i = int(np.argmax(values > level))
    assert i > 0, "never crossed"
    return float(np.interp(math.log(level), np.log(values[i - 1 : i + 1]), t[i - 1 : i + 1]))


def near(time):
    """The start, and many times about one: they do not move the steps."""
    return np.append(0.0, np.linspace(0.97 * time, 1.02 * time, 401))


DISTANCES = [1e-3, 1e-6, 1e-9, 1e-12, 1e-15]


@pytest.mark.parametrize("m", DISTANCES)
def test_square_on_the_sphere(m):
    """dM/dt = 4 M (1 − M²) for one neuron."""
    expected = math.log((1.0 / m**2 - 1.0) / 3.0) / 8.0
    problem = mf.Problem(mf.CommitteeTarget(k=1, activation="square"), "square", 100)
    start = mf.aligned_overlaps(problem, 1, overlap=m)
    run = mf.solve_overlaps(
        problem, start, 1.02 * expected, sgd_noise=False, spherical=True, save_at=near(expected)
    )
    assert run.success and run.stats["rhs_evaluations"] < 1000
    found = crossing(run.t, run.states.varying["M"][:, 0, 0])
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("m", DISTANCES)
def test_square_in_the_mean_field(m):
    """du/dt = 4 u (1 − u²)² at d = ∞: perpendicular parts of others are not one's own."""

    def clock(x):  # of x = u²
        return (math.log(x / (1.0 - x)) + 1.0 / (1.0 - x)) / 8.0

    expected = clock(LEVEL**2) - clock(m**2)
    problem = mf.Problem(mf.CommitteeTarget(k=1, activation="square"), "square")
    start = mf.ParticleMeasure(np.ones(1), np.array([[m]]), np.array([math.sqrt(1.0 - m * m)]))
    run = mf.solve_mean_field(
        problem, start, 1.02 * expected, spherical=True, save_at=near(expected)
    )
    assert run.success and run.message.startswith(f"reached t = {1.02 * expected:g}")
    found = crossing(run.t, run.states.varying["u"][:, 0, 0])
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("student", ["gelu", "relu"])
@pytest.mark.parametrize("m", [1e-4, 1e-8])
def test_students_of_a_quadratic_link(student, m):
    problem = mf.Problem(mf.CommitteeTarget(k=1, activation="hermite2"), student)
    start = mf.ParticleMeasure(np.ones(1), np.array([[m]]), np.ones(1))
    times = np.linspace(0.0, 30.0, 61)
    runs = [mf.solve_mean_field(problem, start, 30.0, times, rtol=rtol) for rtol in (1e-6, 1e-10)]
    found, truth = (crossing(run.t, run.states.varying["u"][:, 0, 0], 0.3) for run in runs)
    assert found == pytest.approx(truth, rel=1e-4)


@pytest.mark.parametrize("eps", [1e-3, 1e-6, 1e-12])
def test_both_layers_small(eps):
    """Near the origin, a and u grow together like an exponential."""
    problem = mf.Problem(mf.CommitteeTarget(k=1), "erf", second_layer_rate=1.0)
    start = mf.ParticleMeasure(
        np.array([eps, -eps]), eps * np.array([[1.0], [0.5]]), eps * np.array([1.0, 0.7])
    )
    times = np.linspace(0.0, 65.0, 131)
    runs = [mf.solve_mean_field(problem, start, 65.0, times, rtol=rtol) for rtol in (1e-6, 1e-10)]
    found, truth = (crossing(run.t, run.states.varying["a"][:, 0]) for run in runs)
    assert found == pytest.approx(truth, rel=1e-4)
    assert runs[0].risk == pytest.approx(runs[1].risk, rel=1e-3)


@pytest.mark.parametrize("delta", [1e-4, 1e-8])
def test_a_perturbation_that_no_coordinate_shows(delta):
    """The symmetric plateau of two neurons, whose difference from symmetry hides in sums of 0.3."""
    problem = mf.Problem(mf.CommitteeTarget(k=2), "erf")
    u = 0.3 + delta * np.array([[1.0, -1.0], [-1.0, 1.0]])
    start = mf.ParticleMeasure(np.ones(2), u, np.array([0.5, 0.5]))
    times = np.append(0.0, np.linspace(*((255.0, 265.0) if delta == 1e-4 else (595.0, 602.0)), 41))

    def found(rtol):
        run = mf.solve_mean_field(problem, start, times[-1], times, rtol=rtol)
        u = run.states.varying["u"]
        return crossing(run.t, u[:, 0, 0] - u[:, 0, 1], 0.2)

    assert found(1e-6) == pytest.approx(found(1e-10), rel=1e-4)


SAID = "a direction grew from velocities below their estimated error"


def even_function(z):
    """Without a push at z = 0, of coordinates that no rule has for its own."""
    x, y = 0.6 * z[:, 0] + 0.8 * z[:, 1], 0.8 * z[:, 0] - 0.6 * z[:, 1]
    return np.cos(2.0 * y) - 0.3 * np.log(np.cosh(x))


def message(problem, m, t_end=2.0):
    """Of a neuron at a distance from where nothing pushes it along z."""
    start = mf.ParticleMeasure(np.ones(1), np.full((1, problem.target.k), m), np.ones(1))
    return mf.solve_mean_field(problem, start, t_end, save_at=2).message


@pytest.mark.slow
def test_growth_below_the_error_of_velocities_is_said():
    """Slices err by 1e-12 where an even function pushes nothing: more than 1e-15 does."""
    problem = mf.Problem(mf.MultiIndexTarget(even_function, k=2), "gelu")
    assert SAID in message(problem, 1e-13)
    assert SAID not in message(problem, 1e-6)


@pytest.mark.parametrize("student", ["square", "gelu"])
@pytest.mark.parametrize("m", [1e-9, 1e-15])
def test_an_error_that_vanishes_with_the_direction_is_not(student, m):
    """Sums over pairs are even to the last bit; velocities are m times the same number."""
    link = "square" if student == "square" else "hermite2"
    problem = mf.Problem(mf.CommitteeTarget(k=1, activation=link), student)
    assert message(problem, m) == "reached t = 2"


def test_growth_of_overlaps_below_the_error_of_averages_is_said():
    """Averages are even to the last bit on some processors; here they are not on any."""
    target = mf.MultiIndexTarget(lambda z: even_function(z) + 1e-15 * z[:, 0], k=2)
    problem = mf.Problem(target, "gelu", 100)

    def said(m):
        start = mf.Overlaps(np.eye(1), np.full((1, 2), m), np.eye(2), -np.ones(1))
        return mf.solve_overlaps(problem, start, 2.0, save_at=2, sgd_noise=False).message

    assert SAID in said(1e-18)
    assert SAID not in said(1e-9)


def crowd(kind, n):
    """Ten neurons, and n more that do not matter."""
    problem = mf.Problem(mf.CommitteeTarget(k=1, activation="square"), "square", 100)
    few = mf.gaussian_measure(problem, 10, seed=1)
    if n == 0:
        return problem, few
    rng = np.random.default_rng(0)
    u = np.vstack((few.u, 0.3 * rng.normal(size=(n, 1))))
    r = np.concatenate((few.r, 1.0 + 0.1 * rng.random(n)))
    a = np.concatenate((few.a, np.full(n, 0.02 if kind == "negligible mass" else 0.0)))
    mass = np.concatenate((np.full(10, 0.1), np.full(n, 1e-14)))
    return problem, mf.ParticleMeasure(a, u, r, mass / mass.sum())


@pytest.mark.parametrize("kind", ["negligible mass", "a = 0"])
def test_ten_neurons_in_an_idle_crowd_go_as_alone(kind):
    def run(n, **options):
        problem, start = crowd(kind, n)
        return mf.solve_mean_field(problem, start, 5.0, save_at=2, keep="ends", **options)

    truth = run(0, rtol=1e-11).final.u
    alone = abs(run(0).final.u - truth).max()
    beside = abs(run(20_000).final.u[:10] - truth).max()
    assert beside < 1.5 * alone  # a mean over all of them: 45 times worse


def test_three_that_move_among_sixty():
    def run(p, **options):
        problem = mf.Problem(mf.CommitteeTarget(k=1), "erf", 1000)
        few = mf.gaussian_overlaps(problem, 3, seed=1)
        Q, M, a = np.eye(p), np.zeros((p, 1)), np.zeros(p)
        Q[:3, :3], M[:3], a[:3] = few.Q, few.M, p / 3.0
        start = mf.Overlaps(Q, M, few.P, a)
        run = mf.solve_overlaps(problem, start, 60.0 / p, sgd_noise=False, save_at=2, **options)
        return run.final.Q[:3, :3]

    truth = run(3, rtol=1e-11)
    assert abs(run(60) - truth).max() < 1.5 * abs(run(3) - truth).max()
