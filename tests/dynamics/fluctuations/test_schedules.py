"""Fluctuations of SGD along schedules, and through phases."""

import numpy as np
import pytest
from scipy.special import erf

import meanfield as mf
from meanfield.dynamics.fluctuations import solve as module

S = mf.schedules


def noise(t):
    return 0.1 + 0.05 * np.sin(3.0 * t)


def decay(t):
    return 0.2 * np.exp(-t)


FADING = S.exponential(0.3, time=1.0, clock="alpha")
GAMMAS = {
    "number": 0.7,
    "power": S.power(1.0, 1.0, onset=0.5),
    "growing": S.power(0.5, -1.0, onset=1.0),
    "piecewise": S.piecewise([0.0, 1.0], [1.0, 0.25]),
    "of alpha": S.exponential(1.0, time=3.0, clock="alpha"),
}


def exact_moments(gamma, d, t_end, labels):
    """Mean of (M, Q) and standard deviation of M of one linear neuron, step by step.

    ε = λ* − λ + √Δ ξ is linear in x, so that a step's moments close: see below.
    """
    M, Q, M2, t, step = 0.3, 0.8, 0.09, 0.0, 0
    while t < t_end - 1e-9:
        clock = step / d if getattr(gamma, "clock", "t") == "alpha" else t
        rate = float(gamma(clock + 1e-12)) if callable(gamma) else gamma
        delta, eta = float(labels(step / d if labels is FADING else t)), rate / d
        kept = 1.0 - eta * float(decay(t))
        squares = 1.0 - 2.0 * M + Q  # E ε² without label noise
        gap = 1.0 - 2.0 * M + M2  # E (1 − M)²
        Q = (
            kept**2 * Q
            + 2.0 * kept * eta * (M - Q)
            + eta * rate * (squares * (1.0 + 2.0 / d) + delta)
        )
        M2 = kept**2 * M2 + 2.0 * kept * eta * (M - M2) + eta**2 * (squares + delta + 2.0 * gap)
        M = kept * M + eta * (1.0 - M)
        t, step = t + eta, step + 1
    return t, M, Q, np.sqrt(M2 - M * M)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "labels"), [*((n, noise) for n in GAMMAS), ("power", FADING)])
def test_moments_of_a_linear_neuron_along_schedules(name, labels):
    gamma, d = GAMMAS[name], 4000
    t, M, Q, spread = exact_moments(gamma, d, 2.0, labels)
    target = mf.CommitteeTarget(k=1, activation="hermite1", noise=labels)
    problem = mf.Problem(target, "hermite1", dim=d, learning_rate=gamma, weight_decay=decay)
    start = mf.Overlaps([[0.8]], [[0.3]], [[1.0]], [1.0])
    band = mf.solve_fluctuations(problem, start, t, save_at=[0.0, t], rtol=1e-9)
    assert band.success, band.message
    seen = band.observables
    assert seen["M_std"][-1, 0, 0] == pytest.approx(spread, rel=2e-3)
    assert seen["M_bias"][-1, 0, 0] == pytest.approx(M - band.M[-1, 0, 0], rel=5e-3)
    assert seen["Q_bias"][-1, 0, 0] == pytest.approx(Q - band.Q[-1, 0, 0], rel=5e-3)


def probit(x):
    return erf(x / np.sqrt(2.0))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["closed", "scores", "sampled"])
def test_every_form_of_the_term_sees_rates_change(form, monkeypatch):
    """The change of the γ/p term in time, in closed form, by scores, and from a sample."""
    target = mf.CommitteeTarget(k=1, noise=noise)
    start = mf.Overlaps([[0.8, 0.1], [0.1, 0.9]], [[0.3], [-0.2]], [[1.0]], [1.0, 1.0])
    rate = S.power(1.0, 1.0, onset=0.3)
    make = lambda sigma: mf.Problem(target, sigma, dim=100, learning_rate=rate)  # noqa: E731
    plain = mf.solve_fluctuations(make("erf"), start, 1.0, save_at=3)
    if form == "scores":
        monkeypatch.setattr(module, "CLOSED_WIDTH", 1)
    sigma = "erf" if form != "sampled" else mf.activations.custom(probit)
    other = mf.solve_fluctuations(make(sigma), start, 1.0, save_at=3, samples=2**15)
    assert other.stats["noise"] == ("closed" if form == "closed" else "sampled")
    for name, size in plain.observables.items():
        scale = np.abs(size[-1]).max()
        np.testing.assert_allclose(other.observables[name][-1], size[-1], atol=0.01 * scale)


def test_agrees_with_runs_of_sgd_along_a_schedule():
    target = mf.CommitteeTarget(k=1, noise=S.piecewise([0.0, 1.0], [0.3, 0.0]))
    problem = mf.Problem(
        target, dim=100, learning_rate=S.power(2.0, 1.0, onset=1.0),
        second_layer_rate=S.piecewise([0.0, 0.5], [0.0, 1.0]),
    )  # fmt: skip
    start = mf.Overlaps([[1.0, 0.1], [0.1, 0.8]], [[0.3], [-0.2]], [[1.0]], [1.0, 1.0])
    times = [0.0, 1.0, 2.0]
    band = mf.solve_fluctuations(problem, start, 2.0, save_at=times)
    runs = mf.simulate_sgd(problem, start, 2.0, runs=6000, save_at=times, seed=1)
    for place in (1, 2):
        for name in ("risk", "Q", "M", "a"):
            found = np.asarray(getattr(runs, name))[:, place]
            spread, bias = (band.observables[f"{name}_{kind}"][place] for kind in ("std", "bias"))
            # a standard deviation of 6000 runs has an error of 0.9 %
            np.testing.assert_allclose(found.std(axis=0), spread, rtol=0.07)
            mean = found.mean(axis=0) - np.asarray(getattr(band, name))[place]
            assert (np.abs(mean - bias) < 4.0 * spread / 6000**0.5 + 0.1 * np.abs(bias)).all()


@pytest.mark.slow
def test_a_band_goes_on_under_another_problem():
    """Phases of constant rates are one run along a schedule that jumps, a second layer too."""
    target = mf.CommitteeTarget(k=1, noise=0.1)
    start = mf.Overlaps([[1.0, 0.1], [0.1, 0.8]], [[0.3], [-0.2]], [[1.0]], [1.0, 1.5])
    gammas, kappas, ends = (1.0, 0.4, 0.8), (0.0, 1.0, 0.0), (0.6, 1.2, 1.8)
    whole = mf.Problem(
        target, dim=50, learning_rate=S.piecewise([0.0, *ends[:2]], gammas),
        second_layer_rate=S.piecewise([0.0, *ends[:2]], kappas),
    )  # fmt: skip
    once = mf.solve_fluctuations(whole, start, ends[-1], save_at=[0.0, *ends], rtol=1e-8)
    each = [
        mf.Problem(target, dim=50, learning_rate=gamma, second_layer_rate=kappa)
        for gamma, kappa in zip(gammas, kappas, strict=True)
    ]
    run = mf.solve_fluctuations(each[0], start, ends[0], save_at=2, rtol=1e-8)
    for problem, end in zip(each[1:], ends[1:], strict=True):
        run = run.then(problem, end, save_at=2)
    assert run.success and len(run.phases) == 3 and run.t[-1] == ends[-1]
    places = [1, 3, 5]
    for name in ("risk_std", "risk_bias", "Q_std", "M_bias", "covariance"):
        np.testing.assert_allclose(
            run.observables[name][places], once.observables[name][1:], rtol=1e-5, atol=1e-12
        )
    np.testing.assert_allclose(run.observables["a_std"][-1], once.observables["a_std"][-1], 1e-5)
    np.testing.assert_allclose(run.risk[places], once.risk[1:], rtol=1e-6)
    far = once.at_dim(200).observables["covariance"]
    np.testing.assert_allclose(4.0 * far, once.observables["covariance"])


def test_a_band_that_kept_no_covariance_cannot_go_on(monkeypatch):
    monkeypatch.setattr("meanfield.dynamics.fluctuations.record.MOST_KEPT", 10)
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=50, learning_rate=1.0)
    start = mf.Overlaps([[1.0]], [[0.3]], [[1.0]], [1.0])
    run = mf.solve_fluctuations(problem, start, 0.1, save_at=3)
    assert "covariance" not in run.observables
    with pytest.raises(ValueError, match="covariance was kept"):
        run.then(problem, 0.2)


def falling(t):
    return np.maximum(1.0 - t, 0.0)


def test_a_rate_of_nothing_ends_the_run_with_what_was_computed():
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=50, learning_rate=falling)
    start = mf.Overlaps([[1.0]], [[0.3]], [[1.0]], [1.0])
    for solve in (mf.solve_fluctuations, mf.simulate_diffusion):
        run = solve(problem, start, 2.0, save_at=21)
        assert run.status == "invalid" and "learning_rate" in run.message
        assert 0.6 < run.t[-1] < 1.1
    adaptive = mf.Problem(mf.CommitteeTarget(k=1), dim=50, learning_rate=S.adagrad_norm(1.0, b=1.0))
    warm = mf.Problem(mf.CommitteeTarget(k=1), dim=50, temperature=S.power(0.1, 1.0, onset=1.0))
    warm = mf.Problem(
        mf.CommitteeTarget(k=1), dim=50, learning_rate=1.0, temperature=warm.temperature
    )
    for solve in (mf.solve_fluctuations, mf.simulate_diffusion):
        for refused, word in ((adaptive, "adagrad_norm"), (warm, "temperature")):
            with pytest.raises(ValueError, match=word):
                solve(refused, start, 1.0)
