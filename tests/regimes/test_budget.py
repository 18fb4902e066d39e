"""What descriptions neglect, computed, and predictions from it."""

import math

import matplotlib
import numpy as np
import pytest

import meanfield as mf

PROBLEM = mf.Problem(mf.CommitteeTarget(k=1, noise=0.05), dim=100, learning_rate=0.5)
TIMES = [0.0, 0.5, 1.0, 2.0]


@pytest.fixture(scope="module")
def budget():
    return mf.regimes.budget(PROBLEM, 3, 2.0, save_at=TIMES, runs=400, starts=12, seed=2)


def test_fluctuations_are_those_of_the_linear_theory(budget):
    band = mf.solve_fluctuations(
        PROBLEM, mf.gaussian_weights(PROBLEM, 3, seed=2).overlaps(), 2.0, save_at=TIMES
    )
    part = budget.parts["fluctuations of SGD"]
    assert np.allclose(part.spread[1:], band.observables["risk_std"][1:], rtol=0.15)
    gap = part.bias - band.observables["risk_bias"]
    assert (np.abs(gap) <= 2.0 * part.error + 1e-12).all()


def test_parts_are_differences_of_the_runs(budget):
    runs = budget.solutions
    term = runs["overlap_ode"].risk - runs["gradient_flow"].risk
    assert (budget.parts["SGD term"].bias == term).all()
    assert term[-1] > 0.0
    whole = sum(budget.parts[name].bias for name in ("fluctuations of SGD", "SGD term"))
    bias, error, variance = budget.sums("gradient_flow")
    assert np.allclose(bias, whole)
    spread = budget.parts["fluctuations of SGD"].spread
    assert np.allclose(variance, spread**2)
    assert np.allclose(budget.neglected("gradient_flow"), np.abs(bias) + error + 2.0 * spread)
    assert (budget.neglected("sgd") == 0.0).all()
    assert budget.cheapest(100.0) == "mean_field_infinite"
    assert budget.cheapest(1e-6) == "sgd"
    ode = float(budget.neglected("overlap_ode").max() / runs["sgd"].risk.max())
    assert budget.cheapest(1.01 * ode) in ("overlap_ode", "gradient_flow")


def test_finite_width_against_more_starts(budget):
    """Bias and spread are within their errors of those of forty runs at that width."""
    risks = [
        mf.solve_overlaps(
            PROBLEM, mf.gaussian_overlaps(PROBLEM, 3, seed=s), 2.0, sgd_noise=False, save_at=TIMES
        ).risk
        for s in range(100, 140)
    ]
    part = budget.parts["finite width"]
    bias = np.mean(risks, axis=0) - budget.solutions["mean_field"].risk
    spread = np.std(risks, axis=0, ddof=1)
    own = 2.0 * spread / 40**0.5
    assert (np.abs(part.bias - bias) < 1.7 * np.hypot(part.error, own)).all()
    assert (np.abs(part.spread - spread) < 1.7 * np.hypot(part.spread_error, own / 2**0.5)).all()


def test_table_and_picture(budget):
    shown = str(budget)
    for word in ("d = 100, p = 3", "finite width: bias", "neglected by mean field at d = ∞"):
        assert word in shown
    assert "<pre>" in budget._repr_html_()
    matplotlib.use("Agg")
    ax = mf.plotting.plot_budget(budget)
    assert next(line.get_label() for line in ax.lines) == "risk, SGD"
    assert len(ax.lines) == 5


def test_a_diagnosis_quotes_it(budget):
    found = mf.regimes.diagnose(PROBLEM, 3, budget=budget)
    share = budget.neglected("gradient_flow").max() / budget.solutions["sgd"].risk.max()
    assert f"computed: {share:.2g} of the largest risk, up to t = 2" in found["gradient_flow"].note
    assert "overlap ODE: computed:" in str(found)
    with pytest.raises(ValueError, match="width 4"):
        mf.regimes.diagnose(PROBLEM, 4, budget=budget)


def test_limits_have_fewer_parts():
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=math.inf)
    found = mf.regimes.budget(problem, 3, 1.0, save_at=3, starts=3)
    assert list(found.parts) == ["finite width"]
    assert list(found.solutions) == ["gradient_flow", "mean_field"]
    near = mf.predict(problem, 3, 1.0, 1e-9, save_at=3, starts=3)
    assert near.description == "gradient_flow"


def test_far_dimensions_take_the_diffusion():
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=10**8, learning_rate=0.5)
    start = mf.gaussian_overlaps(problem, 2)
    found = mf.regimes.budget(problem, 2, 1.0, start=start, save_at=3, runs=30)
    assert found.solutions["sgd"].parameters["description"] == "diffusion"
    assert found.cheapest(1e-2) == "overlap_ode"


@pytest.mark.parametrize("tolerance", [0.005, 0.1])
def test_fresh_runs_keep_to_the_prediction(tolerance):
    start = mf.gaussian_overlaps(PROBLEM, 3, seed=5)
    found = mf.predict(PROBLEM, 3, 2.0, tolerance, start=start, save_at=TIMES, seed=1)
    fresh = mf.simulate_sgd(PROBLEM, start, 2.0, runs=300, seed=77, save_at=TIMES)
    inside = (fresh.risk >= found.low) & (fresh.risk <= found.high)
    assert 0.88 < inside[:, 1:].mean() <= 1.0
    gap = np.abs(fresh.risk.mean(axis=0) - found.mean)[1:]
    own = 2.0 * fresh.risk.std(axis=0)[1:] / 300**0.5
    assert (gap < 1.7 * np.hypot(own, found.mean_error[1:])).all()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"problem": 3}, "problem"),
        ({"width": 0}, "width"),
        ({"t_end": -1.0}, "t_end"),
        ({"runs": 1}, "runs"),
        ({"starts": 2}, "starts"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"problem": mf.Problem(mf.CommitteeTarget(k=1), dim=9, temperature=0.1)}, "temperature"),
    ],
)
def test_arguments_are_refused_by_name(change, name):
    arguments = {"problem": PROBLEM, "width": 2, "t_end": 1.0, "tolerance": 0.1, **change}
    with pytest.raises((TypeError, ValueError), match=name):
        mf.predict(**arguments)
