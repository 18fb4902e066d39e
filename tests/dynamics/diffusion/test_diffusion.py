"""SGD as a diffusion of its overlaps."""

import numpy as np
import pytest

import meanfield as mf
from meanfield.dynamics.diffusion.averages import nearest

SQUARE = mf.CommitteeTarget(k=1, activation="square")


def erf_problem(dim, **options):
    return mf.Problem(mf.CommitteeTarget(k=1, noise=0.05), dim=dim, learning_rate=1.0, **options)


def start():
    return mf.Overlaps([[1.0, 0.1], [0.1, 0.8]], [[0.3], [-0.2]], [[1.0]], [1.0, 1.0])


def spread(sol, name):
    """Standard deviations over runs of a field at the last time."""
    return np.std(getattr(sol, name)[:, -1], axis=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("second_layer_rate", "training"),
    [(0.0, {}), (1.0, {"batch_size": 3}), (0.0, {"spherical": True})],
)
def test_scatter_where_it_is_linear(second_layer_rate, training):
    """At a large dimension the linear theory of fluctuations is exact."""
    problem = erf_problem(10**8, second_layer_rate=second_layer_rate)
    runs = mf.simulate_diffusion(problem, start(), 2.0, runs=3000, save_at=2, seed=1, **training)
    band = mf.solve_fluctuations(problem, start(), 2.0, save_at=[0.0, 2.0], **training)
    assert runs.success
    assert runs.stats["clipped"] == 0.0
    names = ("Q", "M", "a") if second_layer_rate else ("Q", "M")
    for name in names:
        found, exact = spread(runs, name), band.observables[f"{name}_std"][-1]
        moving = exact > 1e-3 * exact.max()
        # 3000 runs: a standard deviation has an error of 1.3 %
        assert np.allclose(found[moving], exact[moving], rtol=0.055)
        mean = getattr(runs, name)[:, -1].mean(axis=0)
        assert np.allclose(mean, getattr(band, name)[-1], rtol=0.0, atol=1e-4 * 5)
    assert np.isclose(np.std(runs.risk[:, -1]), band.observables["risk_std"][-1], rtol=0.055)


def test_bias_at_a_small_dimension():
    problem = erf_problem(50)
    runs = mf.simulate_diffusion(problem, start(), 1.0, runs=20_000, save_at=2, seed=2)
    band = mf.solve_fluctuations(problem, start(), 1.0, save_at=[0.0, 1.0])
    for name in ("Q", "M"):
        bias = band.observables[f"{name}_bias"][-1]
        mean = getattr(runs, name)[:, -1].mean(axis=0) - getattr(band, name)[-1]
        error = spread(runs, name) / np.sqrt(20_000)
        assert (np.abs(mean - bias) < 4.0 * error + 0.1 * np.abs(bias)).all()


def test_weak_order():
    """Variances err by (2hJ)²/12 in a step h, J the rate at which a saddle is left."""
    problem = mf.Problem(SQUARE, "square", dim=10**12, learning_rate=0.1)
    saddle, errors = mf.Overlaps([[1.0]], [[0.0]], [[1.0]], [1.0]), []
    exact = mf.solve_fluctuations(problem, saddle, 1.0, save_at=[0.0, 1.0], spherical=True)
    for step in (0.5, 0.25):
        runs = mf.simulate_diffusion(
            problem, saddle, 1.0, runs=20_000, save_at=2, step=step, spherical=True, seed=3
        )
        ratio = (spread(runs, "M") / exact.observables["M_std"][-1]) ** 2
        errors.append(abs(float(ratio[0, 0]) - 1.0))
    assert errors[1] > 0.05
    assert 1.4 < np.log2(errors[0] / errors[1]) < 2.6


@pytest.mark.slow
@pytest.mark.parametrize("p", [1, 2])
def test_leaving_a_saddle_as_sgd_does(p):
    problem = mf.Problem(SQUARE, "square", dim=400, learning_rate=0.1)
    saddle = mf.Overlaps(np.eye(p), np.full((p, 1), 0.05), [[1.0]], np.ones(p))
    options = {"runs": 400, "save_at": 81, "spherical": True, "keep": "ends"}
    t_end = 8.0 if p == 1 else 4.0
    times = []
    for simulate in (mf.simulate_diffusion, mf.simulate_sgd):
        sol = simulate(problem, saddle, t_end, seed=4, **options)
        # the time that a run spends above half of its first risk
        times.append((sol.risk > 0.5 * sol.risk[:, :1]).mean(axis=1) * t_end)
    first, second = times
    error = np.hypot(first.std(), second.std()) / 20.0
    assert abs(first.mean() - second.mean()) < 3.5 * error
    assert abs(first.std() / second.std() - 1.0) < 0.25


@pytest.mark.slow
def test_time_to_leave_grows_with_the_logarithm_of_the_dimension():
    medians = []
    for dim in (10**6, 10**12):
        problem = mf.Problem(SQUARE, "square", dim=dim, learning_rate=0.1)
        saddle = mf.Overlaps([[1.0]], [[dim**-0.5]], [[1.0]], [1.0])
        sol = mf.simulate_diffusion(
            problem, saddle, 16.0, runs=200, save_at=321, spherical=True, keep="ends", seed=5
        )
        medians.append(np.median(sol.t[np.argmax(sol.risk < 0.5 * sol.risk[:, :1], axis=1)]))
        assert sol.stats["steps"] < 2000 < sol.stats["sgd_steps"]
    # m grows as e^{rt} from d^{−1/2}: half a logarithm of d over r
    point = mf.find_stationary(
        mf.Problem(SQUARE, "square", learning_rate=0.1),
        mf.Overlaps([[1.0]], [[0.0]], [[1.0]], [1.0]), spherical=True, sgd_noise=True,
    )  # fmt: skip
    expected = 0.5 * np.log(1e6) / point.escape_rate
    assert abs(medians[1] - medians[0] - expected) < 0.08 * expected


@pytest.mark.parametrize(("sigma", "tau"), [("relu", "relu"), ("tanh", "erf"), ("erf", "square")])
def test_overlaps_are_those_of_weights(sigma, tau):
    target = mf.CommitteeTarget(k=2, activation=tau, noise=0.1)
    problem = mf.Problem(target, sigma, dim=30, learning_rate=0.5)
    overlaps = mf.gaussian_overlaps(problem, p=3, seed=1)
    sol = mf.simulate_diffusion(problem, overlaps, 0.5, runs=3, save_at=3, seed=6)
    for Q, M in zip(sol.Q.reshape(-1, 3, 3), sol.M.reshape(-1, 3, 2), strict=True):
        whole = np.block([[Q, M], [M.T, np.asarray(target.gram)]])
        assert np.linalg.eigvalsh(whole)[0] > -1e-12
    exact = mf.simulate_sgd(problem, overlaps, 0.5, runs=100, save_at=3)
    assert abs(sol.risk[:, -1].mean() - exact.risk[:, -1].mean()) < 6.0 * exact.risk[:, -1].std()


def test_the_nearest_matrix():
    N = np.array([[[1.0, 0.0], [0.0, -0.5]], [[2.0, 1.0], [1.0, 2.0]]])
    near, clipped = nearest(N)
    assert clipped == 0.25  # a mean over the two
    assert np.allclose(near[0], [[1.0, 0.0], [0.0, 0.0]])
    assert (near[1] == N[1]).all()


def test_threads_and_seeds():
    problem = erf_problem(1000)
    first, second, other = (
        mf.simulate_diffusion(problem, start(), 0.5, runs=40, seed=seed, save_at=3, threads=threads)
        for seed, threads in ((1, 1), (1, 2), (2, 2))
    )
    assert (first.risk == second.risk).all()
    assert (first.risk[:, 1:] != other.risk[:, 1:]).all()
    one = mf.simulate_diffusion(problem, start(), 0.5, save_at=3, keep="ends")
    assert one.risk.shape == (1, 3)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"problem": mf.Problem(mf.CommitteeTarget(k=1), dim=100)}, "learning_rate"),
        ({"problem": mf.Problem(mf.CommitteeTarget(k=1), learning_rate=1.0)}, "dim"),
        ({"problem": erf_problem(3)}, "dim > k"),
        ({"problem": erf_problem(50, temperature=0.1)}, "temperature"),
        ({"step": 0.0}, "step"),
        ({"rtol": 0.0}, "rtol"),
        ({"runs": 0}, "runs"),
        ({"overlaps": 3}, "overlaps"),
    ],
)
def test_arguments_are_refused_by_name(change, name):
    arguments = {"problem": erf_problem(100), "overlaps": start(), "t_end": 1.0, **change}
    with pytest.raises((TypeError, ValueError), match=name):
        mf.simulate_diffusion(**arguments)
