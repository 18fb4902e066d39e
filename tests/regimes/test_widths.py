"""What finite width does to the risk, from a few small widths."""

import numpy as np
import pytest

import meanfield as mf
from meanfield.regimes.widths import Group, run_group, smallest_width, width_effect

PROBLEM = mf.Problem(mf.CommitteeTarget(k=1, noise=0.05), dim=100)
TIMES = [0.0, 0.5, 1.0, 2.0]


def risk_of(start):
    return mf.solve_overlaps(PROBLEM, start, 2.0, sgd_noise=False, save_at=TIMES).risk


def effect_at(p, starts, seed=0):
    widest = 4 * smallest_width(p)
    draws = [mf.gaussian_overlaps(PROBLEM, widest, seed=seed + n) for n in range(starts)]
    return width_effect([run_group(one, risk_of) for one in draws], p)


def moment(x):
    """A functional of an empirical law: E = 1/p, variance 0.09/p + 2/p² for x ~ N(0, 1)."""
    mean = x.mean(axis=-1)
    return np.array([mean**2 + 0.3 * mean])


def groups_of_a_moment(count, q, seed):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        x = rng.standard_normal(4 * q)
        halves, quarters = np.split(x, 2), np.split(x, 4)
        yield Group(
            moment(x), np.mean([moment(h) for h in halves], axis=0),
            np.array([moment(one) for one in quarters]),
        )  # fmt: skip


@pytest.mark.parametrize("p", [2, 8, 50])
def test_a_functional_whose_mean_and_variance_are_known(p):
    found = width_effect([*groups_of_a_moment(300, smallest_width(p), 1)], p)
    std = (0.09 / p + 2.0 / p**2) ** 0.5
    assert abs(found.bias[0] - 1.0 / p) < 1.5 * found.error[0] < 0.8 / p
    assert abs(found.spread[0] - std) < 1.5 * found.spread_error[0] < 0.4 * std


def test_errors_are_those_of_repetitions():
    """Two standard errors are what they say over 200 repetitions."""
    found = [width_effect([*groups_of_a_moment(12, 8, seed)], 30) for seed in range(200)]
    bias = np.array([one.bias[0] for one in found])
    spread = np.array([one.spread[0] for one in found])
    assert abs(bias.mean() - 1.0 / 30) < 3.0 * bias.std() / 200**0.5
    for values, errors in (
        (bias, [one.error[0] for one in found]), (spread, [one.spread_error[0] for one in found])
    ):  # fmt: skip
        assert np.mean(errors) == pytest.approx(2.0 * values.std(), rel=0.25)


@pytest.mark.slow
@pytest.mark.parametrize(("p", "runs"), [(1, 400), (3, 400), (20, 200)])
def test_direct_runs_at_the_width_asked_for(p, runs):
    found = effect_at(p, 12)
    draws = [mf.gaussian_overlaps(PROBLEM, p, seed=9000 + n) for n in range(runs)]
    direct = np.array([risk_of(one) for one in draws])
    law = mf.gaussian_measure(PROBLEM, 4000, sampling="antithetic-sobol")
    wide = mf.solve_mean_field(PROBLEM, law, 2.0, save_at=TIMES).risk
    bias, spread = direct.mean(axis=0) - wide, direct.std(axis=0, ddof=1)
    own = 2.0 * spread / runs**0.5
    assert (np.abs(found.bias - bias) < 1.7 * np.hypot(found.error, own)).all()
    gap = np.abs(found.spread - spread)
    assert (gap < 1.7 * np.hypot(found.spread_error, own / 2**0.5)).all()
    if p > 1:  # the 84 runs of twelve starts say it as well as 150 at that width
        assert (found.error < 2.0 * spread / 150**0.5).all()


def test_at_infinite_dimension_the_draw_is_certain():
    """No chance is left: the error is that of the order left out, and holds."""
    infinite = PROBLEM.at_dim(float("inf"))

    def flow(start):
        return mf.solve_overlaps(infinite, start, 2.0, sgd_noise=False, save_at=TIMES).risk

    law = mf.gaussian_measure(infinite, 10)
    wide = mf.solve_mean_field(infinite, law, 2.0, save_at=TIMES).risk
    for p in (1, 3, 50):
        widest = 4 * smallest_width(p)
        draws = [mf.gaussian_overlaps(infinite, widest, seed=n) for n in range(3)]
        found = width_effect([run_group(one, flow) for one in draws], p)
        bias = flow(mf.gaussian_overlaps(infinite, p)) - wide
        assert (found.spread < 1e-9).all()
        assert (np.abs(found.bias - bias) <= found.error + 1e-6).all()
        assert (found.error < 0.05 * np.abs(bias).max()).all()
