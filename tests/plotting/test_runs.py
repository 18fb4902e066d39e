"""The picture of one run."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import meanfield as mf
from meanfield.plotting import plot_run


def test_the_line_is_the_risk_and_runs_lie_behind_their_mean():
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=30, learning_rate=0.4)
    start = mf.gaussian_overlaps(problem, p=2, seed=0)
    ode = mf.solve_overlaps(problem, start, 0.5, save_at=4)
    sgd = mf.simulate_sgd(problem, start, 0.5, runs=3, save_at=4)
    ax = ode.plot()
    assert np.array_equal(ax.lines[0].get_ydata(), ode.risk)
    assert sgd.plot(ax) is ax and len(ax.lines) == 5
    assert np.allclose(ax.lines[-1].get_ydata(), sgd.risk.mean(axis=0))
    assert ax.get_yscale() == "log" and "3 runs" in ax.get_title("left")
    plt.close(ax.figure)


def test_what_is_no_run_is_refused():
    with pytest.raises(TypeError, match="solution"):
        plot_run([1.0, 2.0])


def test_fluctuations_are_drawn_as_a_band():
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=50, learning_rate=1.0)
    start = mf.Overlaps([[1.0]], [[0.3]], [[1.0]], [1.0])
    run = mf.solve_fluctuations(problem, start, 1.0, save_at=3)
    ax = run.plot()
    (band,) = ax.collections
    assert "d = 50" in ax.get_legend().get_texts()[-1].get_text()
    corners = band.get_paths()[0].vertices
    edge = run.risk + run.observables["risk_bias"] + 2 * run.observables["risk_std"]
    assert corners[corners[:, 0] == 1.0, 1].max() == pytest.approx(edge[-1])


def test_a_band_without_a_bias_is_drawn_about_the_ode():
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=50, learning_rate=1.0)
    start = mf.Overlaps([[1.0]], [[0.3]], [[1.0]], [1.0])
    run = mf.solve_risk_band(problem, start, 1.0, save_at=3)
    ax = run.plot()
    (band,) = ax.collections
    corners = band.get_paths()[0].vertices
    edge = run.risk + 2 * run.observables["risk_std"]
    assert corners[corners[:, 0] == 1.0, 1].max() == pytest.approx(edge[-1])
    plt.close(ax.figure)
