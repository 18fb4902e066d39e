"""Pictures of the regimes: what they show is what was computed, and nothing lies outside."""

import math

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

import meanfield as mf
from meanfield import plotting
from meanfield.regimes import compare, phase_diagram
from meanfield.regimes.comparison import Setting
from meanfield.regimes.descriptions import TITLES
from meanfield.regimes.distances import risk_band

matplotlib.use("Agg")

TARGET = mf.CommitteeTarget(k=1)
SMALL = {
    "classical": Setting(20, 2, 0.1),
    "high-dimensional": Setting(200, 2, 2.0),
    "mean-field": Setting(10, 12, 2.0),
    "intermediate": Setting(6, 2, 2.0),
}


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_one_call_draws_four_panels(tmp_path):
    figure = plotting.plot_regimes(
        TARGET, tmp_path / "regimes.png", t_end=2.0, runs=3, times=8, settings=SMALL
    )
    assert (tmp_path / "regimes.png").stat().st_size > 10_000
    assert [ax.get_title(loc="left").lower() for ax in figure.axes] == list(SMALL)
    for ax in figure.axes:
        labels = [line.get_label() for line in ax.lines]
        assert labels == [TITLES[n] for n in ("mean_field", "mean_field_infinite")] + [
            TITLES["overlap_ode"], TITLES["gradient_flow"], "SGD, 3 runs"
        ]  # fmt: skip
    assert all("time t" in ax.get_xlabel() for ax in figure.axes[2:])
    assert all("risk" in ax.get_ylabel() for ax in figure.axes[::2])
    assert len(figure.legends) == 1 and len(figure.legends[0].get_texts()) == 6
    # a band where neurons are as many as other directions or fewer; twelve of ten are not
    assert [len(ax.collections) for ax in figure.axes] == [1, 1, 0, 1]


def test_the_band_is_that_of_the_linear_theory():
    problem = mf.Problem(TARGET, dim=20, learning_rate=0.5)
    one = compare(problem, 2, 1.0, runs=40, save_at=5, band=True)
    figure = plotting.plot_regimes({"one": one})
    (band,) = figure.axes[0].collections
    corners = band.get_paths()[0].vertices
    theory = mf.solve_fluctuations(problem, one.start, 1.0, save_at=one.solutions["sgd"].t)
    reach = 2.0 * theory.observables["risk_std"][-1]
    middle = theory.risk[-1] + theory.observables["risk_bias"][-1]
    last = corners[corners[:, 0] == theory.t[-1], 1]
    assert last.max() == pytest.approx(middle + reach)
    assert last.min() == pytest.approx(middle - reach)
    # and SGD is inside, nearly all of it
    assert 0.85 < one.inside_band() < 1.0
    assert f"SGD: {100 * one.inside_band():.0f} % of its risks" in str(one)


def test_a_band_that_reaches_zero_leaves_the_axis_to_the_risks():
    problem = mf.Problem(TARGET, dim=3, learning_rate=3.0)
    one = compare(problem, 2, 5.0, runs=4, save_at=11, band=True)
    low, _ = risk_band(one.band)
    assert low.min() == 0.0
    figure = plotting.plot_regimes({"one": one})
    risks = np.concatenate([run.risk.ravel() for run in one.solutions.values()])
    bottom, _ = figure.axes[0].get_ylim()
    assert bottom > 0.05 * risks[risks > 0.0].min()


def test_curves_are_the_solutions():
    problem = mf.Problem(TARGET, dim=20, learning_rate=0.5)
    one = compare(problem, 2, 1.0, runs=2, save_at=5)
    figure = plotting.plot_regimes({"one": one})
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    drawn = lines[TITLES["overlap_ode"]].get_xydata()
    ode = one.solutions["overlap_ode"]
    np.testing.assert_array_equal(drawn, np.column_stack((ode.t, ode.risk))[1:])
    points = lines["SGD, 2 runs"].get_xydata()
    np.testing.assert_array_equal(
        np.sort(points[:, 1]), np.sort(one.solutions["sgd"].risk[:, 1:], None)
    )


@pytest.mark.parametrize("panels", [["one"], ["one", "two", "three"]])
def test_text_stays_inside_and_apart(panels):
    problem = mf.Problem(TARGET, dim=20, learning_rate=0.5)
    one = compare(problem, 2, 1.0, runs=2, save_at=5, band=True)
    figure = plotting.plot_regimes(dict.fromkeys(panels, one))
    assert len(figure.axes) == len(panels)
    figure.canvas.draw()
    legend = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= legend.x0 and legend.x1 <= figure.bbox.x1
    title = figure._suptitle.get_window_extent()
    for ax in figure.axes:
        assert not legend.overlaps(ax.get_tightbbox())
        assert not title.overlaps(ax.get_tightbbox())
        assert figure.bbox.x1 >= ax.get_tightbbox().x1


def test_without_sgd_and_at_infinite_dimension():
    problem = mf.Problem(TARGET, dim=math.inf)
    figure = plotting.plot_regimes({"flow": compare(problem, 3, 1.0, save_at=4)})
    assert [line.get_label() for line in figure.axes[0].lines] == [
        TITLES["mean_field_infinite"], TITLES["gradient_flow"],
    ]  # fmt: skip


def test_phase_diagram_marks_runs(tmp_path):
    runs = {
        name: (mf.Problem(TARGET, dim=d, learning_rate=g), p) for name, (d, p, g) in SMALL.items()
    }
    figure = plotting.plot_phase_diagram(runs=runs, path=tmp_path / "phases.png")
    assert (tmp_path / "phases.png").exists()
    (ax,) = figure.axes
    marked = [tuple(line.get_xydata()[0]) for line in ax.lines if line.get_marker() == "o"]
    assert marked == [phase_diagram().locate(*run) for run in runs.values()]
    assert "κ" in ax.get_xlabel() and "δ" in ax.get_ylabel()
    words = " ".join(text.get_text() for text in ax.texts)
    assert all(phase.name in words for phase in phase_diagram().phases)
    low, high = ax.get_ylim()
    assert all(low < delta < high for _, delta in marked)


def test_arguments_are_named():
    with pytest.raises(TypeError, match="comparisons"):
        plotting.plot_regimes("classical")
    with pytest.raises(ValueError, match="comparisons"):
        plotting.plot_regimes({})
    with pytest.raises(TypeError, match="comparisons"):
        plotting.plot_regimes({"one": 1})
    with pytest.raises(TypeError, match="runs"):
        plotting.plot_regimes({}, runs=3)
    with pytest.raises(TypeError, match="diagram"):
        plotting.plot_phase_diagram("here")
