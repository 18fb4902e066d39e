"""Soft committees sit on a symmetric plateau until their neurons specialise (Saad & Solla 1995)."""

import math

import numpy as np
import pytest

import meanfield as mf


def committee_run(activation, k, spread, t_end, save_at=2001):
    problem = mf.Problem(mf.CommitteeTarget(k=k, activation=activation), activation)
    start = mf.aligned_overlaps(problem, k, overlap=0.1, spread=spread, seed=1)
    return mf.solve_overlaps(
        problem, start, t_end, sgd_noise=False, save_at=save_at, rtol=1e-8, atol=1e-12
    )


def asymmetry(solution):
    """Largest distance of an overlap with the target from the mean of all, (T,)."""
    M = solution.states.varying["M"]
    return np.abs(M - M.mean(axis=(1, 2), keepdims=True)).max(axis=(1, 2))


def crossing(t, values, level):
    i = int(np.argmax(values > level))
    assert i > 0, "never crossed"
    return float(np.interp(level, values[i - 1 : i + 1], t[i - 1 : i + 1]))


@pytest.mark.parametrize(
    ("activation", "k", "t_end"),
    [("erf", 2, 600), ("erf", 3, 1500), ("relu", 2, 150), ("relu", 3, 600)],
)
def test_a_plateau_then_one_target_direction_for_each_neuron(activation, k, t_end):
    solution = committee_run(activation, k, 1e-4, t_end)
    assert solution.success
    # plateau: all overlaps alike, far from the target, for a long time
    i = int(np.argmax(asymmetry(solution) > 0.01))
    early = solution.states[i // 2]
    assert np.ptp(early.M) < 0.01 and early.M.min() > 0.2
    assert solution.t[i] > 30.0
    drop = solution.risk[i // 2] / solution.risk[i]
    assert drop < 1.1 and solution.risk[-1] < 1e-3 * solution.risk[i]
    # then a permutation
    M = solution.final.M
    assert sorted(M.argmax(axis=1)) == list(range(k))
    nearest = np.eye(k)[M.argmax(axis=1)]
    assert np.abs(M - nearest).max() < 0.05
    assert np.abs(solution.final.Q - nearest @ nearest.T).max() < 0.05


@pytest.mark.parametrize(("activation", "k", "t_end"), [("erf", 2, 700), ("relu", 2, 250)])
def test_the_plateau_lasts_as_the_logarithm_of_the_asymmetry(activation, k, t_end):
    """A difference grows as exp(λ t) there: a start 100 times as even stays log(100)/λ longer."""
    spreads = (1e-4, 1e-6, 1e-8)
    runs = [committee_run(activation, k, spread, t_end) for spread in spreads]
    times = [crossing(run.t, asymmetry(run), 0.1) for run in runs]
    gaps = np.diff(times)
    assert gaps[1] == pytest.approx(gaps[0], rel=0.03)
    last = runs[-1]
    window = (asymmetry(last) > 1e-6) & (asymmetry(last) < 1e-4) & (last.t > 30)
    growth = np.polyfit(last.t[window], np.log(asymmetry(last)[window]), 1)[0]
    assert gaps[1] == pytest.approx(math.log(100) / growth, rel=0.05)


def test_exact_symmetry_is_never_broken_by_the_equations():
    solution = committee_run("erf", 2, 0.0, 2000.0, save_at=11)
    assert asymmetry(solution).max() < 1e-7
    assert solution.risk[-1] > 1e-3


def test_sgd_breaks_the_symmetry_by_itself():
    """From the exactly symmetric start, the noise of single samples is enough."""
    problem = mf.Problem(mf.CommitteeTarget(k=2, activation="relu"), "relu", 300, 0.3)
    start = mf.aligned_overlaps(problem, 2, overlap=0.1, cosine=0.0)
    runs = mf.simulate_sgd(problem, start, 60.0, runs=8, seed=0, save_at=3)
    M = np.array([state.M for state in runs.final])
    matched = np.sort(M.argmax(axis=2), axis=1)
    assert (matched == [0, 1]).all(axis=1).mean() > 0.7
    assert np.median(runs.risk[:, -1]) < 0.2 * np.median(runs.risk[:, 0])
