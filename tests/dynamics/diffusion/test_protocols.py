"""The diffusion along schedules, up to conditions, and through phases."""

import numpy as np
import pytest

import meanfield as mf
from meanfield.dynamics import checkpoint as module
from meanfield.dynamics.state_series import last_states

S, U = mf.schedules, mf.until
START = mf.Overlaps([[1.0, 0.1], [0.1, 0.8]], [[0.3], [-0.2]], [[1.0]], [1.0, 1.0])


def task(rate, noise=0.05, dim=10**8, **rates):
    return mf.Problem(mf.CommitteeTarget(k=1, noise=noise), dim=dim, learning_rate=rate, **rates)


CASES = {
    "power": (S.power(2.0, 1.0, onset=0.5), 0.05, {}),
    "growing": (S.power(0.1, -2.0, onset=0.5), S.piecewise([0.0, 1.2], [0.0, 0.5]), {}),
    "jumps": (
        S.piecewise([0.0, 0.7], [0.2, 2.0]), 0.05,
        {"second_layer_rate": S.piecewise([0.0, 0.9], [1.0, 0.0])},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("step", [None, 2.0])
def test_scatter_along_schedules(name, step):
    """Where noise is small the linear theory is exact; a step of any length ends at a jump."""
    rate, noise, rates = CASES[name]
    if step is not None and name != "jumps":
        return
    problem = task(rate, noise, **rates)
    runs = mf.simulate_diffusion(problem, START, 1.5, runs=3000, save_at=2, seed=1, step=step)
    band = mf.solve_fluctuations(problem, START, 1.5, save_at=[0.0, 1.5])
    assert runs.success and runs.stats["sgd_steps"] == pytest.approx(runs.steps[-1], rel=0.01)
    if step is not None:  # one flow would step over both jumps
        assert runs.stats["steps"] == 3
    wide = 0.06 if step is None else 0.2
    for field in ("Q", "M"):
        exact = band.observables[f"{field}_std"][-1]
        np.testing.assert_allclose(getattr(runs, field)[:, -1].std(axis=0), exact, rtol=wide)
        mean = getattr(runs, field)[:, -1].mean(axis=0)
        near = 1e-3 if step is None else 0.05
        np.testing.assert_allclose(mean, getattr(band, field)[-1], atol=near)


def test_bias_along_a_schedule():
    """To second order in the noise; γ falls fast, so that −½ ∂F/∂t counts."""
    problem = task(S.power(4.0, 1.0, onset=0.2), dim=50)
    runs = mf.simulate_diffusion(problem, START, 1.0, runs=20_000, save_at=2, seed=2)
    band = mf.solve_fluctuations(problem, START, 1.0, save_at=[0.0, 1.0])
    for field in ("Q", "M"):
        bias, spread = (band.observables[f"{field}_{kind}"][-1] for kind in ("bias", "std"))
        mean = getattr(runs, field)[:, -1].mean(axis=0) - getattr(band, field)[-1]
        assert (np.abs(mean - bias) < 4.0 * spread / 20_000**0.5 + 0.1 * np.abs(bias)).all()


@pytest.mark.slow
def test_agrees_with_runs_of_sgd_along_a_schedule():
    """Leaving a saddle while γ falls and labels become clean, which linear theory cannot say."""
    target = mf.CommitteeTarget(k=1, activation="square", noise=S.piecewise([0.0, 1.0], [0.5, 0.0]))
    problem = mf.Problem(target, "square", dim=400, learning_rate=S.power(0.2, 1.0, onset=1.0))
    saddle = mf.Overlaps([[1.0]], [[0.05]], [[1.0]], [1.0])
    options = {"runs": 400, "save_at": 81, "spherical": True, "keep": "ends"}
    first, second = (
        (sol.risk > 0.5 * sol.risk[:, :1]).mean(axis=1) * 8.0  # time above half of the first risk
        for sol in (
            solve(problem, saddle, 8.0, seed=4, **options)
            for solve in (mf.simulate_diffusion, mf.simulate_sgd)
        )
    )
    error = np.hypot(first.std(), second.std()) / 20.0
    assert abs(first.mean() - second.mean()) < 3.5 * error
    assert abs(first.std() / second.std() - 1.0) < 0.25


# ---- stopping


def test_runs_without_noise_stop_where_the_equations_do():
    problem = task(0.5, dim=10**15)
    until = U.any(U.risk_below(0.03), lambda t, state: state.M[0, 0] - 0.35)
    runs = mf.simulate_diffusion(problem, START, 20.0, runs=2, rtol=1e-5, until=until, save_at=21)
    exact = mf.solve_overlaps(problem, START, 20.0, until=until)
    assert runs.stopped_by == [exact.stopped_by] * 2 and exact.stopped_by != ""
    np.testing.assert_allclose(runs.stopped_at, exact.stopped_at, rtol=1e-4)
    assert runs.t[-1] == runs.stopped_at.max()
    np.testing.assert_allclose(runs.M[:, -1], np.stack([exact.M[-1]] * 2), atol=1e-4)


def test_each_run_stops_at_its_level_as_sgd_does():
    problem = task(0.5, dim=50)
    until = U.risk_below(0.02)
    runs, sgd = (
        solve(problem, START, 100.0, runs=400, seed=seed, until=until, save_at=101, keep="ends")
        for solve, seed in ((mf.simulate_diffusion, 1), (mf.simulate_sgd, 2))
    )
    np.testing.assert_allclose(runs.risk[:, -1], 0.02, rtol=1e-6)
    assert runs.states.shape == (400, 2) and "400 of 400" in runs.message
    assert runs.t[-1] == runs.stopped_at.max()
    for run, at in enumerate(runs.stopped_at[:20]):
        assert (runs.risk[run, runs.t < at] > 0.02).all()
        assert len(set(runs.risk[run, runs.t >= at])) == 1
    first, second = runs.stopped_at, sgd.stopped_at
    error = np.hypot(first.std(), second.std()) / 20.0
    assert abs(first.mean() - second.mean()) < 4.0 * error + 0.02 * second.mean()
    assert 0.8 < first.std() / second.std() < 1.25


def test_some_runs_stop_and_some_reach_the_end():
    problem = task(0.5, dim=50)
    whole = mf.simulate_diffusion(problem, START, 3.0, runs=50)
    until = U.risk_below(float(np.median(whole.risk.min(axis=1))))
    runs = mf.simulate_diffusion(problem, START, 3.0, runs=50, until=until)
    stopped = np.array([by != "" for by in runs.stopped_by])
    assert 0 < stopped.sum() < 50 and runs.t[-1] == 3.0
    assert np.isnan(runs.stopped_at[~stopped]).all()
    assert (runs.risk[~stopped] > until.level).all()
    again = mf.simulate_diffusion(problem, START, 3.0, runs=5, until=U.risk_below(10.0))
    assert again.t.tolist() == [0.0] and (again.stopped_at == 0.0).all()
    with pytest.raises(ValueError, match="never rests"):
        mf.simulate_diffusion(problem, START, 1.0, until=U.steady())


# ---- going on


def test_each_run_goes_on_from_where_it_is():
    one, two = mf.targets.together(mf.CommitteeTarget(k=1), mf.CommitteeTarget(k=1), [[0.3]])
    first = mf.Problem(one, dim=10**15, learning_rate=S.power(0.5, 1.0, onset=2.0))
    second = mf.Problem(two, dim=10**15, learning_rate=S.power(0.5, 1.0, onset=2.0))
    start = mf.gaussian_overlaps(first.at_dim(100), p=2, seed=1)
    options = {"save_at": 3}
    runs = mf.simulate_diffusion(first, start, 4.0, runs=2, rtol=1e-5, **options)
    runs = runs.then(second, 8.0, **options)
    exact = mf.solve_overlaps(first, start, 4.0, **options).then(second, 8.0, **options)
    assert runs.t.tolist() == exact.t.tolist() and len(runs.phases) == 2
    np.testing.assert_allclose(runs.risk, np.stack([exact.risk] * 2), rtol=1e-3)
    np.testing.assert_allclose(runs.alpha, exact.alpha, rtol=1e-8)
    noisy = mf.simulate_diffusion(first.at_dim(50), start, 2.0, runs=3, **options)
    later = noisy.then(first.at_dim(50), 4.0, **options)
    assert len(set(noisy.risk[:, -1])) == 3
    np.testing.assert_allclose(later.risk[:, 3], noisy.risk[:, -1], rtol=1e-9)
    with pytest.raises(ValueError, match="as many as runs"):
        mf.simulate_diffusion(first.at_dim(50), last_states(noisy.states), 1.0, runs=2)


@pytest.mark.usefixtures("interrupted_results")
def test_a_checkpoint_holds_the_runs_that_have_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "INTERVAL", 0.0)
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    problem, wanted = task(S.power(0.8, 1.0, onset=9.0), dim=50), U.risk_below(0.02)
    t_end, asked = 40.0, []

    def run(seen=lambda t, state: 0.0, **more):
        return mf.simulate_diffusion(
            problem, START, t_end, runs=6, seed=1, save_at=81, until=wanted,
            observables={"seen": seen}, **more,
        )  # fmt: skip

    whole = run()
    middle = np.median(whole.stopped_at)
    assert whole.stopped_at.min() < middle < whole.stopped_at.max()

    def interrupting(t, state):
        if t > middle and not asked:
            asked.append(t)
            raise KeyboardInterrupt
        return 0.0

    stopped = run(interrupting, checkpoint=tmp_path / "run")
    assert stopped.status == "interrupted" and stopped.t[-1] <= middle
    assert run(checkpoint=tmp_path / "run") == whole
