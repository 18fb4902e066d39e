"""Neurons at a temperature: closed laws, the order of the scheme, free energy, Gibbs measures."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import meanfield as mf
from meanfield.dynamics.particles.free_energy import entropy
from meanfield.dynamics.particles.langevin import diffuse
from meanfield.fields.pairs.closed import PairField
from tests.fields.cases import make_measure, make_problem

pytestmark = pytest.mark.usefixtures("interrupted_results")


def hot(problem, temperature=0.05, decay=0.5):
    return replace(problem, temperature=temperature, weight_decay=decay)


def gaussian_entropy(variance, d):
    return 0.5 * d * math.log(2.0 * math.pi * math.e * variance)


@pytest.mark.parametrize("decay", [0.0, 0.7])
@pytest.mark.parametrize("D", [1, 2, 30])
def test_noise_is_that_of_vectors(D, decay):
    """r is the length of D coordinates, each of which diffuses: against real vectors."""
    n, h, tau = 40_000, 0.3, 0.2
    rng = np.random.default_rng(3)
    X = np.zeros((n, D))
    X[:, 0] = 0.8
    shrink = math.exp(-decay * h)
    variance = tau / decay * (1.0 - shrink**2) if decay else 2.0 * tau * h
    X = shrink * X + math.sqrt(variance) * rng.standard_normal(X.shape)
    u, r = diffuse(np.full((n, 1), 0.4), np.full(n, 0.8), h, decay, tau, D, rng)
    expected = np.sqrt((X**2).sum(axis=1))
    for power in (1, 2, 4):
        gap = (r**power).mean() - (expected**power).mean()
        assert abs(gap) < 5.0 * math.sqrt(2.0) * (r**power).std() / math.sqrt(n)
    assert abs(u.mean() - 0.4 * shrink) < 5.0 * math.sqrt(variance / n)
    assert math.isclose(u.var(), variance, rel_tol=0.05)


@pytest.mark.parametrize("d", [3, 20])
def test_without_a_second_layer_neurons_are_ornstein_uhlenbeck(d):
    """Gaussian at every time; the free energy is closed; any step is exact in law."""
    tau, decay, n = 0.1, 0.5, 10_000
    problem = hot(mf.Problem(mf.CommitteeTarget(1), "square", d), tau, decay)
    start = mf.gaussian_measure(problem, n, scale=2.0 * math.sqrt(d), seed=1)
    start = mf.ParticleMeasure(np.zeros(n), start.u, start.r)
    run = mf.solve_mean_field(problem, start, 2.0, save_at=[0.0, 0.5, 2.0], seed=7, step=1.0)
    assert run.success and run.stats["steps"] == 4  # by twos
    floor = 0.5 * problem.target.second_moment()
    for i, t in enumerate(run.t):
        shrink = math.exp(-2.0 * decay * t)
        variance = 4.0 * shrink + tau / decay * (1.0 - shrink)
        squares = ((run.states[i].u ** 2).sum(axis=1) + run.states[i].r ** 2).mean()
        assert math.isclose(squares, d * variance, rel_tol=5.0 * math.sqrt(2.0 / (n * d)))
        H, error = run.observables["entropy"][i], run.observables["entropy_error"][i]
        assert abs(H - gaussian_entropy(variance, d)) < 4.0 * error < 0.2
        expected = floor + 0.5 * decay * d * variance - tau * gaussian_entropy(variance, d)
        free = run.observables["free_energy"][i]
        assert abs(free - expected) < 4.0 * tau * error + 0.03 * decay * d * variance


class Matched:
    """Draws whose first two moments over the neurons are those of infinitely many."""

    def __init__(self, seed):
        self.rng, self.columns = np.random.default_rng(seed), []

    def standard_normal(self, shape):
        x = self.rng.standard_normal(shape).reshape(shape[0], -1)
        against = np.column_stack([np.ones(shape[0]), *self.columns])
        x -= against @ np.linalg.lstsq(against, x, rcond=None)[0]
        x /= np.sqrt((x**2).mean(axis=0))
        self.columns.append(x)
        return x.reshape(shape)

    def chisquare(self, dof, shape):
        x = self.rng.chisquare(dof, shape)
        return x * dof / x.mean()


def test_the_scheme_is_of_weak_order_two(monkeypatch):
    """Square students: second moments obey equations of their own, without noise."""
    from meanfield.dynamics.particles import langevin

    tau, decay, d, n, t_end = 0.15, 0.3, 6, 400, 2.0
    target = mf.CommitteeTarget(1, "square", gram=[[1.4]])
    problem = hot(mf.Problem(target, "square", d), tau, decay)
    D = d - 1  # f* = 1.4 z² has mean 1.4 and quadratic part 1.4 (z² − 1)

    def moments(t, y):
        A, s = y
        mean = 1.4 - A - s
        along = 4.0 * (1.4 - A) + 2.0 * mean
        across = 2.0 * mean - 4.0 * s / D
        return [
            2.0 * along * A - 2.0 * decay * A + 2.0 * tau,
            2.0 * across * s - 2.0 * decay * s + 2.0 * tau * D,
        ]

    start = mf.gaussian_measure(problem, n, scale=0.6, seed=0, sampling="antithetic")
    first = [(start.u**2).mean(), (start.r**2).mean()]
    truth = solve_ivp(moments, (0.0, t_end), first, rtol=1e-11, atol=1e-13).y[:, -1]

    def matched(u, r, h, *rest):
        rng = Matched(round(1e6 * abs(float(u[0, 0]))))
        rng.columns = [u[:, 0], r]
        return diffuse(u, r, h, *rest[:-1], rng)

    monkeypatch.setattr(langevin, "diffuse", matched)
    errors = []
    for step in (0.1, 0.05, 0.025):
        run = mf.solve_mean_field(problem, start, t_end, save_at=2, step=step)
        found = np.array([(run.final.u**2).mean(), (run.final.r**2).mean()])
        errors.append(np.abs(found - truth).max())
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert (np.abs(orders - 2.0) < 0.4).all(), (errors, orders)


def test_the_error_of_the_step_is_stated():
    """Next to no noise, so that a flow with tight tolerances is the truth."""
    cold = mf.Problem(mf.CommitteeTarget(1, "square"), "square", 6, weight_decay=0.3)
    start = mf.gaussian_measure(cold, 50, scale=0.6, seed=0)
    truth = mf.solve_mean_field(cold, start, 1.0, save_at=5, rtol=1e-10).risk
    for step, status in ((0.02, "success"), (0.08, "inaccurate")):
        warm = replace(cold, temperature=1e-18)
        run = mf.solve_mean_field(warm, start, 1.0, save_at=5, step=step)
        error = (abs(run.risk - truth) / truth).max()
        assert run.status == status and error < 1.5 * run.stats["step_error"] < 20.0 * error
    assert "steps of 0.08 carry an estimated relative error" in run.message


def test_the_free_energy_falls():
    problem = hot(make_problem("erf", k=1, D=4, kappa=0.0), 0.02, 0.1)
    n = 4000
    start = mf.gaussian_measure(problem, n, scale=1.0, seed=2)
    start = mf.ParticleMeasure(3.0 * np.ones(n), start.u, start.r)
    run = mf.solve_mean_field(problem, start, 10.0, save_at=11, seed=1)
    free, error = run.observables["free_energy"], run.observables["entropy_error"]
    noise = 3.0 * (problem.temperature * error.max() + 0.3 / math.sqrt(n))
    assert free[0] - free[-1] > 5.0 * noise
    assert (np.diff(free) < noise).all()
    assert run.observables["entropy"].shape == (11,)


def test_at_rest_neurons_follow_the_gibbs_measure():
    """μ ∝ r^{D−1} exp((a Φ(u, r) − λ (u² + r²)/2)/τ) with the potential Φ that μ makes."""
    D, tau, decay, n = 3, 0.1, 0.2, 1500
    problem = hot(make_problem("erf", k=1, D=D, kappa=0.0), tau, decay)
    start = mf.gaussian_measure(problem, n, scale=1.0, seed=3)
    start = mf.ParticleMeasure(2.0 * np.ones(n), start.u, start.r)
    run = mf.solve_mean_field(problem, start, 30.0, save_at=2, seed=5, step=0.4, evaluator="slices")
    end = run.final
    field = PairField(problem)
    field.prepare(end)
    u, r = np.meshgrid(np.linspace(-5, 5, 81), np.linspace(0.05, 5, 40), indexing="ij")
    points, lengths = u.reshape(-1, 1).copy(), r.ravel().copy()
    some = end.arrays()
    part = tuple(np.ascontiguousarray(array[:700]) for array in some)
    potential = field.target_part(points, lengths)[0] - field.student_part(points, lengths, *part)
    log_density = (2.0 * potential - 0.5 * decay * (points[:, 0] ** 2 + lengths**2)) / tau
    weight = lengths ** (D - 1) * np.exp(log_density - log_density.max())
    weight /= weight.sum()
    for gibbs, found in (
        (weight @ points[:, 0], end.u[:, 0]),
        (weight @ points[:, 0] ** 2, end.u[:, 0] ** 2),
        (weight @ lengths**2, end.r**2),
    ):
        # the potential is that of 700 neurons, and the law has its own long fluctuations
        assert abs(gibbs - found.mean()) < 6.0 * found.std() / math.sqrt(700)


@pytest.mark.parametrize(("d", "masses"), [(2, False), (6, False), (6, True), (60, False)])
def test_entropy_of_a_gaussian(d, masses):
    rng = np.random.default_rng(0)
    n = 4000
    x = 1.7 * rng.standard_normal((n, d))
    measure = mf.ParticleMeasure(np.ones(n), x[:, :1], np.sqrt((x[:, 1:] ** 2).sum(axis=1)))
    if masses:  # the same law, drawn from a wider one
        wide = 1.2 * x
        log_ratio = -0.5 * ((wide / 1.7) ** 2).sum(axis=1) + 0.5 * ((x / 1.7) ** 2).sum(axis=1)
        mass = np.exp(log_ratio)
        measure = mf.ParticleMeasure(
            np.ones(n), wide[:, :1], np.sqrt((wide[:, 1:] ** 2).sum(axis=1)), mass / mass.sum()
        )
    found = entropy(measure, d - 1)
    assert abs(found.value - gaussian_entropy(1.7**2, d)) < 4.0 * found.error
    assert found.error < 0.3


def test_entropy_is_given_the_second_layer():
    """Two values of a: the mean of two entropies. Coinciding neurons: minus infinity."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4000, 3))
    x[::2] *= 2.0
    a = np.where(np.arange(4000) % 2, 1.0, -1.0)
    measure = mf.ParticleMeasure(a, x[:, :1], np.sqrt((x[:, 1:] ** 2).sum(axis=1)))
    found = entropy(measure, 2)
    expected = 0.5 * (gaussian_entropy(4.0, 3) + gaussian_entropy(1.0, 3))
    assert abs(found.value - expected) < 4.0 * found.error
    assert entropy(mf.ParticleMeasure(np.ones(50), np.zeros(50), np.ones(50)), 3).value == -math.inf


@pytest.mark.parametrize("times", [2, 3, 4])
@pytest.mark.parametrize("a", ["one", "spread"])
def test_entropy_of_repeated_neurons(times, a):
    measure = make_measure(1, n=60, seed=1)
    chosen = np.append(np.arange(60), np.full(times - 1, 7))  # one of them alone is enough
    layer = np.ones(60) if a == "one" else measure.a
    once = mf.ParticleMeasure(layer, measure.u, measure.r)
    again = mf.ParticleMeasure(layer[chosen], measure.u[chosen], measure.r[chosen])
    assert math.isfinite(entropy(once, 3).value)
    assert entropy(again, 3) == (-math.inf, math.inf)


def test_seeds_threads_and_checkpoints(tmp_path):
    problem = hot(make_problem("tanh", k=2, D=5, kappa=0.5))
    measure = make_measure(2, n=60, scale=0.5)

    def run(seed=3, threads=None, **options):
        return mf.solve_mean_field(
            problem, measure, 1.0, save_at=5, seed=seed, step=0.1, threads=threads, **options
        )

    one = run(threads=1)
    assert one == run(threads=2)
    assert one.final != run(seed=4).final
    assert one.parameters["noise_seed"] == 3
    calls = []

    def stop(t, state):
        calls.append(t)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return t

    file = tmp_path / "run"
    part = run(checkpoint=file, observables={"t": stop})
    assert part.status is mf.Status.INTERRUPTED and len(part.t) == 2
    rest = run(checkpoint=file, observables={"t": stop})
    assert rest.final == one.final and np.array_equal(rest.risk, one.risk)
    assert np.array_equal(rest.observables["free_energy"], one.observables["free_energy"])
    assert not file.exists()
    assert mf.load(one.save(tmp_path / "saved.npz")) == one


def test_what_has_no_meaning_is_refused():
    measure = make_measure(1, n=10)
    with pytest.raises(ValueError, match="finite dim"):
        mf.solve_mean_field(hot(make_problem("erf", D=math.inf)), measure, 1.0)
    with pytest.raises(ValueError, match="spherical"):
        mf.solve_mean_field(hot(make_problem("erf")), measure, 1.0, spherical=True)
    for options in ({"seed": -1}, {"step": 0.0}, {"step": math.nan}):
        with pytest.raises(ValueError, match=next(iter(options))):
            mf.solve_mean_field(hot(make_problem("erf")), measure, 1.0, **options)


def test_divergence_is_a_status():
    problem = hot(make_problem("square", "erf", D=9), decay=0.0)
    measure = mf.gaussian_measure(problem, 30, scale=1e170)
    run = mf.solve_mean_field(problem, measure, 1.0, save_at=3, step=0.1)
    assert run.status is mf.Status.DIVERGED and list(run.t) == [0.0]
