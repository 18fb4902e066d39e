"""The scatter and the bias of SGD about its ODE: against a slow twin, runs of SGD and figures."""

import numpy as np
import pytest
from scipy.special import erf

import meanfield as mf
from tests.reference.fluctuations import Twin

ERF = (lambda x: erf(x / np.sqrt(2)), lambda x: np.sqrt(2 / np.pi) * np.exp(-x * x / 2))
TANH = (np.tanh, lambda x: 1 - np.tanh(x) ** 2)
SQUARE = (lambda x: x * x, lambda x: 2 * x)


def product(z):
    return z[:, 0] * z[:, 1] + z[:, 0]


CASES = {
    "erf": (ERF, mf.CommitteeTarget(k=1, noise=0.05), [[0.3]], [[0.8]], [1.2], 1.0, 0.0),
    "erf, second layer": (ERF, mf.CommitteeTarget(k=1, noise=0.05), [[0.3]], [[0.8]], [1.2], 1.0,
                          0.7),
    "tanh, sampled": (TANH, mf.CommitteeTarget(k=1, activation="tanh", noise=0.05), [[0.3]],
                      [[0.8]], [1.2], 1.0, 0.7),
    "square": (SQUARE, mf.CommitteeTarget(k=1, activation="square", noise=0.05), [[0.3]], [[0.8]],
               [1.2], 0.1, 0.0),
    "multi-index": (TANH, mf.MultiIndexTarget(product, k=2, noise=0.05), [[0.3, 0.1]], [[0.8]],
                    [1.2], 1.0, 0.7),
}  # fmt: skip
NAMES = {"erf": "erf", "tanh,": "tanh", "square": "square", "multi-index": "tanh"}


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_slow_twin(name):
    (f, df), target, M, Q, a, gamma, kappa = CASES[name]
    activation = "tanh" if f is np.tanh else "square" if "square" in name else "erf"
    problem = mf.Problem(target, activation, dim=100, learning_rate=gamma, second_layer_rate=kappa)
    start = mf.Overlaps(Q, M, target.gram, a)
    t_end = 0.5
    run = mf.solve_fluctuations(problem, start, t_end, save_at=[0.0, t_end])
    twin = Twin(f, df, target, 1, gamma, kappa, a, noise=0.05)
    y = np.concatenate([np.ravel(Q), np.ravel(M), a if kappa > 0 else []])
    y, m, S, spread, shift = twin.solve(y, t_end, 4)
    eta = gamma / 100
    assert run.success, run.message
    std = np.sqrt(eta * np.diag(S))
    k = target.k
    seen = run.observables
    assert seen["Q_std"][-1].ravel() == pytest.approx(std[:1], rel=0.01)
    assert seen["M_std"][-1].ravel() == pytest.approx(std[1 : 1 + k], rel=0.01)
    assert seen["risk_std"][-1] == pytest.approx(np.sqrt(eta) * spread, rel=0.01)
    size = np.abs(m).max()
    assert seen["Q_bias"][-1].ravel() / eta == pytest.approx(m[:1], abs=0.02 * size)
    assert seen["M_bias"][-1].ravel() / eta == pytest.approx(m[1 : 1 + k], abs=0.02 * size)
    if kappa > 0:
        assert seen["a_std"][-1] == pytest.approx(std[1 + k :], rel=0.01)
        assert seen["a_bias"][-1] / eta == pytest.approx(m[1 + k :], abs=0.02 * size)
    assert seen["risk_bias"][-1] / eta == pytest.approx(shift, abs=0.02 * max(abs(shift), 0.1))


def test_figures_of_a_hundred_thousand_runs():
    """Two erf neurons at d = 25: what 100,000 runs of SGD gave, at t = 1, 2, 3, 4."""
    problem = mf.Problem(mf.CommitteeTarget(k=1, noise=0.05), dim=25, learning_rate=1.0)
    start = mf.Overlaps([[1.0, 0.1], [0.1, 0.8]], [[0.3], [-0.2]], [[1.0]], [1.0, 1.0])
    run = mf.solve_fluctuations(problem, start, 4.0, save_at=5)
    seen = run.observables
    assert 100 * seen["risk_std"][1:] == pytest.approx([1.475, 1.229, 0.848, 0.561], rel=0.01)
    off = 1e4 * seen["risk_bias"][1:] - [-3.87, -3.60, -2.53, -1.25]
    assert np.all(np.abs(off) < 2.5 * np.array([0.47, 0.39, 0.27, 0.18]))
    ode = mf.solve_overlaps(problem, start, 4.0, save_at=5)
    assert run.risk == pytest.approx(ode.risk, rel=1e-4)
    assert run.final.Q == pytest.approx(ode.final.Q, rel=1e-4)


@pytest.mark.parametrize(
    ("activation", "kappa", "training"),
    [
        ("relu", 1.0, {}),
        ("erf", 0.0, {"spherical": True, "batch_size": 4}),
    ],
)
def test_agrees_with_runs(activation, kappa, training):
    target = mf.CommitteeTarget(k=1, activation=activation, noise=0.05)
    problem = mf.Problem(
        target, activation, dim=40, learning_rate=1.0, second_layer_rate=kappa, weight_decay=0.2
    )
    start = mf.Overlaps([[1.0, 0.1], [0.1, 0.8]], [[0.3], [-0.2]], [[1.0]], [1.0, 0.8])
    runs = 3000
    sgd = mf.simulate_sgd(problem, start, 1.0, save_at=[0.0, 1.0], runs=runs, seed=1, **training)
    points = {"samples": 2**12}
    band = mf.solve_fluctuations(problem, start, 1.0, save_at=[0.0, 1.0], **training, **points)
    assert band.stats["covariance_error"] < 0.1
    spread = sgd.risk.std(axis=0)[-1]
    assert band.observables["risk_std"][-1] == pytest.approx(spread, rel=0.06)
    Q = sgd.states.varying["Q"].std(axis=0)[-1]
    assert band.observables["Q_std"][-1] == pytest.approx(Q, rel=0.08, abs=1e-9)
    bias = sgd.risk.mean(axis=0)[-1] - band.risk[-1]
    assert band.observables["risk_bias"][-1] == pytest.approx(bias, abs=4 * spread / runs**0.5)


def solved(**options):
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100, learning_rate=1.0)
    start = mf.Overlaps([[1.0, 0.1], [0.1, 0.8]], [[0.3], [-0.2]], [[1.0]], [1.0, 1.0])
    return mf.solve_fluctuations(problem, start, 0.2, save_at=3, **options)


def test_a_start_that_scatters():
    """At t = 0 the band is the start's; it falls as 1/√d with all else."""
    covariance = np.diag([1e-4, 2e-4, 3e-4, 4e-4, 5e-4])
    run = solved(covariance=covariance)
    seen = run.observables
    assert seen["M_std"][0].ravel() == pytest.approx(np.sqrt([4e-4, 5e-4]))
    assert seen["Q_std"][0] == pytest.approx(np.sqrt([[1e-4, 2e-4], [2e-4, 3e-4]]))
    assert seen["risk_std"][0] > 0
    assert run.at_dim(400).observables["Q_std"] == pytest.approx(0.5 * seen["Q_std"])
    assert run.at_dim(400).observables["risk_bias"] == pytest.approx(0.25 * seen["risk_bias"])


def test_survives_a_file(tmp_path):
    run = solved()
    again = mf.load(run.save(tmp_path / "run"))
    assert again == run
    assert again.at_dim(7).problem.dim == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate above 0"),
        ({"dim": float("inf")}, "finite dim"),
        ({"temperature": 0.1}, "temperature 0"),
    ],
)
def test_refuses_what_it_does_not_cover(change, message):
    problem = mf.Problem(mf.CommitteeTarget(k=1), **({"dim": 100, "learning_rate": 1.0} | change))
    start = mf.Overlaps([[1.0]], [[0.3]], [[1.0]], [1.0])
    with pytest.raises(ValueError, match=message):
        mf.solve_fluctuations(problem, start, 1.0)


def test_refuses_a_sample_on_the_edge_and_a_wrong_covariance():
    problem = mf.Problem(mf.CommitteeTarget(k=1), "tanh", dim=100, learning_rate=1.0)
    edge = mf.Overlaps(np.ones((2, 2)), [[0.3], [0.3]], [[1.0]], [1.0, 1.0])
    with pytest.raises(ValueError, match="inside the cone"):
        mf.solve_fluctuations(problem, edge, 1.0)
    with pytest.raises(ValueError, match="covariance"):
        solved(covariance=-np.eye(5))
    with pytest.raises(ValueError, match="at_dim is for"):
        mf.solve_overlaps(problem, edge, 0.1, sgd_noise=False).at_dim(10)
