"""The band of the risk by an adjoint: against the full covariance, differences and runs of SGD."""

import numpy as np
import pytest

import meanfield as mf
from meanfield import schedules as S
from meanfield.dynamics import checkpoint as module
from meanfield.dynamics.fluctuations.adjoint import (
    Covector,
    LinearFlow,
    bent_by_spheres,
    onto_spheres,
    steps_along,
    term_by_differences,
    term_by_scores,
    term_transposed,
)
from meanfield.dynamics.fluctuations.band import Backward
from meanfield.dynamics.fluctuations.coordinates import Coordinates
from meanfield.dynamics.fluctuations.drift import OverlapField
from meanfield.dynamics.fluctuations.sample import StepSample
from meanfield.dynamics.overlaps.averages import OverlapAverages
from meanfield.dynamics.overlaps.noise import choose_noise


def product(z):
    return z[:, 0] * z[:, 1] + z[:, 0]


ERF = mf.CommitteeTarget(k=1, noise=0.05)
TANH = mf.CommitteeTarget(k=1, activation="tanh", noise=0.05)
RELU = mf.CommitteeTarget(k=2, activation="relu", noise=0.05)
PRODUCT = mf.MultiIndexTarget(product, k=2, noise=0.05)
DECAYS = {"weight_decay": 0.2, "second_layer_decay": 0.1}
SPHERES = {"spherical": True, "batch_size": 4}


def problem_of(target, activation="erf", **options):
    settings = {"dim": 100, "learning_rate": 1.0} | options
    return mf.Problem(target, activation, **settings)


def start_of(target):
    M = np.array([[0.3, 0.1], [-0.2, 0.25]])[:, : target.k]
    return mf.Overlaps([[1.0, 0.1], [0.1, 0.8]], M, target.gram, [1.0, 0.8])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "training", "off"),
    [
        (problem_of(ERF, second_layer_rate=0.7), {}, 1e-4),
        (problem_of(ERF, second_layer_rate=1.0, **DECAYS), SPHERES, 1e-4),
        (problem_of(TANH, "tanh", second_layer_rate=1.0), {}, 1e-3),
        # both sample C: their errors are stated and add
        (problem_of(PRODUCT, "tanh", second_layer_rate=1.0), {}, None),
        (problem_of(RELU, "relu"), {}, None),
    ],
)
def test_agrees_with_the_full_covariance(problem, training, off):
    start = start_of(problem.target)
    band = mf.solve_risk_band(problem, start, 1.0, save_at=[0.0, 0.4, 1.0], **training)
    whole = mf.solve_fluctuations(problem, start, 1.0, save_at=[0.0, 0.4, 1.0], **training)
    assert band.success, band.message
    seen, expected = (run.observables["risk_std"] for run in (band, whole))
    assert seen[0] == expected[0] == 0.0
    if off is None:
        off = band.stats["risk_std_error"] + whole.stats["covariance_error"]
        assert off < 0.1
    assert seen[1:] == pytest.approx(expected[1:], rel=off)
    assert band.risk == pytest.approx(whole.risk, rel=1e-3)
    assert band.stats["adjoint_error"] < 2e-3


def test_is_said_at_another_dim():
    band = mf.solve_risk_band(problem_of(ERF), start_of(ERF), 0.5, save_at=3)
    assert band.at_dim(400).observables["risk_std"] == pytest.approx(
        0.5 * band.observables["risk_std"]
    )


def test_agrees_with_runs():
    problem = problem_of(RELU, "relu", dim=60)
    start = mf.gaussian_overlaps(problem, p=6, seed=3)
    runs = 2000
    sgd = mf.simulate_sgd(problem, start, 1.0, save_at=[0.0, 1.0], runs=runs, seed=1)
    band = mf.solve_risk_band(problem, start, 1.0, save_at=[0.0, 1.0])
    # 1.6 % of sampling, and what the expansion leaves out at this dim
    assert band.observables["risk_std"][1] == pytest.approx(sgd.risk.std(axis=0)[1], rel=0.08)


def test_the_same_for_any_number_of_threads():
    problem = problem_of(ERF)
    start = mf.gaussian_overlaps(problem, p=24, seed=3)
    one, two = (
        mf.solve_risk_band(problem, start, 0.3, save_at=2, samples=256, threads=threads)
        for threads in (1, 2)
    )
    assert np.array_equal(one.observables["risk_std"], two.observables["risk_std"])


class Field:
    """The flow of a problem about a state of p neurons, and random directions."""

    def __init__(self, problem, p, spherical=False):
        start = mf.gaussian_overlaps(problem, p=p, seed=5)
        moving = problem.second_layer_rate > 0
        self.c = Coordinates(p, start.k, start.a, moving)
        averages = OverlapAverages(problem)
        noise = choose_noise(averages, problem, p, True, "auto", None, 0)
        self.field = OverlapField(problem, self.c, averages, noise, 1, spherical)
        Q, M = np.array(start.Q), np.array(start.M)
        if spherical:
            length = np.sqrt(np.diag(Q))
            Q, M = Q / np.outer(length, length), M / length[:, None]
        self.y = Covector(Q, M @ self.field.into, np.array(start.a))
        self.rng = np.random.default_rng(0)

    def random(self):
        G = self.rng.standard_normal(self.y.Q.shape)
        a = self.rng.standard_normal(self.c.p) if self.c.moving else np.zeros(self.c.p)
        return Covector(G + G.T, self.rng.standard_normal(self.y.u.shape), a)

    def vector(self, y):
        return self.c.join(y.Q, y.u @ self.field.basis.T, y.a)

    def covector(self, vector):
        Q, M, a = self.c.split(vector)
        return Covector(Q, M @ self.field.into, a if self.c.moving else np.zeros(self.c.p))

    def change(self, f, v, h=1e-5):
        """The derivative of f, of vectors, along v."""
        ahead, behind = (f(self.vector(self.y.plus(s * h, v))) for s in (1.0, -1.0))
        return self.covector((ahead - behind) / (2.0 * h))


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize(
    "problem",
    [
        problem_of(ERF, second_layer_rate=0.7, **DECAYS),
        problem_of(PRODUCT, "tanh", second_layer_rate=0.7),
        problem_of(RELU, "relu", weight_decay=0.3),
    ],
)
def test_the_transpose_is_one(problem, spherical):
    """g · Jv = Jᵀg · v, with J from differences of the flow."""
    about = Field(problem, 4, spherical)
    flow, field, y = LinearFlow(about.field, about.y), about.field, about.y
    g, v = about.random(), about.random()
    if spherical:
        np.fill_diagonal(v.Q, 0.0)
    change = about.change(lambda x: field.project(x, field.drift(x)), v)
    free = onto_spheres(y, g) if spherical else g
    back = flow.transposed(free)
    if spherical:
        back = back.plus(1.0, bent_by_spheres(g, np.diag(flow.drift().Q)))
    assert back.dot(v) == pytest.approx(g.dot(change), rel=1e-5)


def test_the_gradient_of_the_risk():
    about = Field(problem_of(PRODUCT, "tanh", second_layer_rate=0.7), 4)
    v, h = about.random(), 1e-5
    ends = [about.field.risk(about.vector(about.y.plus(s * h, v))) for s in (1.0, -1.0)]
    gradient = LinearFlow(about.field, about.y).gradient()
    assert gradient.dot(v) == pytest.approx((ends[0] - ends[1]) / (2.0 * h), rel=1e-6)


def test_the_gamma_over_p_term():
    """Its transpose by differences, and by scores, which a sample makes noisy."""
    about = Field(problem_of(ERF, second_layer_rate=0.7), 3)
    field, y = about.field, about.y
    g, v = about.random(), about.random()
    expected = g.dot(about.change(field.noise_term, v))
    exact = term_transposed(field, term_by_differences(field, y), g)
    assert exact.dot(v) == pytest.approx(expected, rel=1e-5)
    draw = StepSample(field, 1, 2**15, 2**15, 0).at(about.vector(y))
    scored = term_by_scores(field, draw, y, g)
    size = np.sqrt(exact.dot(exact))
    assert np.sqrt(scored.plus(-1.0, exact).dot(scored.plus(-1.0, exact))) < 0.1 * size


def test_a_step_along_a_covector():
    """g · step without the steps, against the rows of steps."""
    about = Field(problem_of(ERF, second_layer_rate=0.7), 3)
    sample, g = StepSample(about.field, 1, 64, 64, 0), about.random()
    draw = sample.at(about.vector(about.y))
    rows = [about.covector(row) for row in sample.steps(draw)]
    expected = [g.dot(row) for row in rows]
    assert steps_along(about.field, draw, g) == pytest.approx(expected, rel=1e-10)


def test_refuses_what_it_does_not_cover():
    start = start_of(ERF)
    for change in ({"learning_rate": 0.0}, {"dim": float("inf")}, {"temperature": 0.1}):
        with pytest.raises(ValueError, match="problem must have a learning_rate above 0"):
            mf.solve_risk_band(problem_of(ERF, **change), start, 1.0)
    edge = mf.Overlaps(np.ones((2, 2)), [[0.3], [0.3]], [[1.0]], [1.0, 1.0])
    with pytest.raises(ValueError, match="inside the cone"):
        mf.solve_risk_band(problem_of(TANH, "tanh"), edge, 1.0)
    adaptive = problem_of(ERF, learning_rate=mf.schedules.adagrad_norm(1.0, 1.0))
    with pytest.raises(ValueError, match="learning_rate that does not depend on the state"):
        mf.solve_risk_band(adaptive, start, 1.0)
    heating = problem_of(ERF, temperature=mf.schedules.power(1.0, 0.5, 1.0))
    with pytest.raises(ValueError, match="temperature 0"):
        mf.solve_risk_band(heating, start, 1.0)
    with pytest.raises(ValueError, match="covariance must be symmetric"):
        mf.solve_risk_band(problem_of(ERF), start, 1.0, covariance=-np.eye(5))
    band = mf.solve_risk_band(problem_of(ERF), start, 0.1, save_at=2)
    with pytest.raises(ValueError, match="not with a run of risk band"):
        band.then(problem_of(ERF), 0.2)


RATES = {
    "learning_rate": S.piecewise([0.0, 0.4, 0.7], [0.8, 0.3, 0.5]),
    "weight_decay": S.power(0.2, 1.0, onset=0.5),
    "second_layer_rate": S.piecewise([0.0, 0.55], [0.5, 1.0]),
}


@pytest.mark.parametrize(
    ("target", "rates", "numbers", "training"),
    [
        (mf.CommitteeTarget(1, noise=S.power(0.1, 1.0, onset=0.5)), RATES, 7, {}),
        # a second layer that scatters at the start and does not move
        (ERF, {"learning_rate": S.power(0.8, 1.0, onset=0.5)}, 7, {}),
        (ERF, {"learning_rate": S.power(0.8, 1.0, onset=0.5)}, 5, {"spherical": True}),
    ],
)
def test_schedules_and_random_starts_agree_with_the_full_covariance(
    target, rates, numbers, training
):
    """Over jumps of γ and κ, where adjoints and their check meet two velocities."""
    problem, start = problem_of(target, **rates), start_of(ERF)
    root = 0.01 * np.random.default_rng(1).standard_normal((numbers, numbers))
    asked = {"save_at": [0.0, 0.3, 0.7, 1.0], "covariance": root @ root.T} | training
    band = mf.solve_risk_band(problem, start, 1.0, **asked)
    whole = mf.solve_fluctuations(problem, start, 1.0, **asked)
    assert band.success, band.message
    seen, expected = (run.observables["risk_std"] for run in (band, whole))
    assert seen == pytest.approx(expected, rel=1e-4)
    assert band.stats["adjoint_error"] < 3e-4


def test_until_ends_the_band_where_it_ends_the_ode():
    problem, start = problem_of(ERF), start_of(ERF)
    band = mf.solve_risk_band(problem, start, 9.0, save_at=10, until=mf.until.risk_below(0.05))
    assert band.stopped_by == "risk_below(0.05)" and band.t[-1] == band.stopped_at < 9.0
    again = mf.solve_risk_band(problem, start, band.stopped_at, save_at=[band.stopped_at])
    assert band.observables["risk_std"][-1] == pytest.approx(
        again.observables["risk_std"][0], rel=1e-4
    )


@pytest.mark.usefixtures("interrupted_results")
@pytest.mark.parametrize(("activation", "p"), [("erf", 2), ("tanh", 4)])
def test_an_interrupted_way_back_goes_on(activation, p, tmp_path, monkeypatch):
    """With the rule that serves all places, and with samples of their own."""
    monkeypatch.setattr(module, "INTERVAL", 0.0)
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    problem = problem_of(ERF, activation, learning_rate=S.piecewise([0.0, 0.2], [1.0, 0.5]))
    start, path = mf.gaussian_overlaps(problem, p=p, seed=3), tmp_path / "run"
    move, calls = Backward._move, []

    def run(**more):
        return mf.solve_risk_band(problem, start, 0.5, save_at=4, rtol=1e-4, samples=64, **more)

    def interrupting(last):
        def moving(self, places, h, aim):
            calls.append(h)
            if len(calls) == last:
                raise KeyboardInterrupt
            return move(self, places, h, aim)

        return moving

    whole, moved = run(), []
    for last in (2, 7):  # near the end, and where several adjoints are on their way
        calls.clear()
        with monkeypatch.context() as patch:
            patch.setattr(Backward, "_move", interrupting(last))
            stopped = run(checkpoint=path)
        assert stopped.status == "interrupted" and "no band" in stopped.message
        assert np.isnan(stopped.observables["risk_std"]).all() and path.exists()
        calls.clear()
        with monkeypatch.context() as patch:
            patch.setattr(Backward, "_move", interrupting(None))
            assert run(checkpoint=path) == whole
        assert not path.exists()
        moved.append(len(calls))
    assert moved[1] < moved[0]  # what was done before is not done again
