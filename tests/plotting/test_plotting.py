"""Figures have what a reader needs: labelled axes, legends, numbers that match."""

import dataclasses
import itertools
import math

import matplotlib as mpl
import numpy as np
import pytest

import meanfield as mf
from meanfield.plotting.style import neurons_in_time
from meanfield.projection import concentration
from meanfield.projection.neurons import split
from tests.fields.cases import make_measure, make_problem

mpl.use("Agg")

from matplotlib import pyplot as plt

from meanfield.plotting import (
    animate_alignment,
    animate_neurons,
    plot_alignment,
    plot_alignment_histogram,
    plot_alignment_law,
    plot_cloud,
    plot_concentration,
    plot_curves,
    plot_neurons,
    plot_rates,
)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def study():
    dims = [10, 20, 40, 80, math.inf]
    return mf.concentration_study(mf.CommitteeTarget(k=1), dims, n=20, t_end=0.5, replicas=1)


def test_a_study_as_a_figure(study, tmp_path):
    path = tmp_path / "study.png"
    figure = plot_concentration(study, path)
    assert path.stat().st_size > 10_000
    assert "20 erf neurons" in figure.get_suptitle()
    assert len(figure.axes) == 3
    for ax in figure.axes:
        assert ax.get_xlabel() and ax.get_ylabel() and ax.get_title(loc="left")
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ["10", "20", "40", "80", "∞"]


def test_the_figure_shows_the_study_s_numbers(study):
    figure = plot_concentration(study)
    drawn = [line.get_ydata() for line in figure.axes[0].lines]
    assert len(drawn) == 5
    for line, curve in zip(drawn, study.curves["energy"], strict=True):
        assert np.array_equal(line, curve)
    points = [line.get_ydata() for line in figure.axes[2].lines]
    assert any(np.array_equal(line, study.final("leak")[:-1]) for line in points)
    slopes = " ".join(text.get_text() for text in figure.axes[2].texts)
    assert f"{study.rate('leak').slope:.3f}" in slopes.replace("−", "-")


def test_rounding_is_not_drawn(study):
    """A leak of 1e-32 at d = ∞ is 0, and would leave a logarithmic axis to nothing else."""
    leak = study.replicas["leak"].copy()
    leak[-1] = 1e-32
    rounded = dataclasses.replace(study, replicas={**study.replicas, "leak": leak})
    lowest, highest = plot_curves(rounded, "leak").get_ylim()
    assert highest / lowest < 1e6


def test_a_figure_of_a_limit_at_its_saddle_says_so():
    even = mf.CommitteeTarget(k=1, activation="square")
    study = mf.concentration_study(
        even, [10, 40, math.inf], 20, 2.0, "square", replicas=1, saves=3, rtol=1e-4
    )
    assert plot_concentration(study).get_supxlabel().startswith("Note: the run at d = ∞ stays at")


def test_a_study_without_the_limit_still_has_a_figure():
    study = mf.concentration_study(mf.CommitteeTarget(k=1), [10], n=6, t_end=0.1, replicas=1)
    assert len(plot_concentration(study).axes) == 3


def test_alignment():
    c = concentration(make_measure(1, n=30), make_problem())
    ax = plot_alignment(c)
    assert ax.get_xlabel() and ax.get_ylabel()
    angles, shares = ax.lines[0].get_data()
    assert (angles[0], angles[-1], shares[-1]) == (0.0, 90.0, 1.0)
    np.testing.assert_array_equal(shares, c.mass_within(np.radians(angles)))
    other = plt.figure().subplots()
    assert plot_alignment(c, other) is other


def test_other_things_are_refused():
    with pytest.raises(TypeError, match="study"):
        plot_concentration(3)
    with pytest.raises(TypeError, match="concentration"):
        plot_alignment(3)


@pytest.fixture(scope="module")
def runs():
    """The same small problem under each description; two directions, three saved times."""
    problem = mf.Problem(mf.CommitteeTarget(k=2), dim=20, learning_rate=0.5)
    start = mf.gaussian_overlaps(problem, 5, seed=1)
    law = mf.gaussian_measure(problem, 30, second_layer="signs")
    return {
        "mean field": mf.solve_mean_field(problem, law, 2.0, save_at=3),
        "overlaps": mf.solve_overlaps(problem, start, 2.0, save_at=3),
        "sgd": mf.simulate_sgd(problem, start, 2.0, runs=2, save_at=3),
    }


@pytest.mark.parametrize("name", ["mean field", "overlaps", "sgd"])
def test_a_picture_of_every_run(runs, name):
    for plot in (plot_alignment_law, plot_alignment_histogram, plot_cloud, plot_neurons):
        ax = plot(runs[name])
        assert ax.get_xlabel() and ax.get_ylabel()
        other = plt.figure().subplots()
        assert plot(runs[name], other) is other
        plt.close("all")


def test_the_law_of_angles_is_the_neurons(runs):
    run = runs["mean field"]
    ax = plot_alignment_law(run, bins=18)
    shares = ax.collections[0].get_array().reshape(18, 3) * 5.0  # per degree, in bins of 5
    np.testing.assert_allclose(shares.sum(axis=0), 1.0)
    c = concentration(run.states[2], run.problem)
    np.testing.assert_allclose(shares[:6, 2].sum(), c.mass_within(math.radians(30)), atol=1e-9)
    for line, share in zip(ax.lines, (0.1, 0.5, 0.9), strict=True):
        assert line.get_ydata()[2] == pytest.approx(math.degrees(c.angle_of(share)))
        assert line.get_label() == f"{share:.0%} of the neurons"


def test_the_histogram_of_a_time_beside_the_start(runs):
    run = runs["sgd"]
    ax = plot_alignment_histogram(run, index=1, run=1, bins=9)
    c = concentration(run.states[1][1], run.problem)
    heights = [bar.get_height() for bar in ax.patches[:9]]
    within = c.mass_within(np.radians(np.arange(0, 91, 10)))
    np.testing.assert_allclose(np.cumsum(heights) * 10.0, within[1:], atol=1e-9)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["t = 0"]
    marker = ax.child_axes[0].lines[1]
    assert (marker.get_xdata()[0], marker.get_ydata()[0]) == (run.t[1], run.risk[1, 1])


def test_pictures_are_of_the_run_asked_for(runs):
    run = runs["sgd"]
    first, second = (neurons_in_time(run, number).u[-1] for number in (0, 1))
    assert np.array_equal(second, split(run.states[1][-1], run.problem).u)
    assert not np.array_equal(first, second)


def test_a_run_that_kept_its_ends_shows_those():
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=20)
    start = mf.gaussian_measure(problem, 5)
    ends = mf.solve_mean_field(problem, start, 2.0, save_at=5, keep="ends")
    ax = plot_alignment_law(ends)
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [0.0, 2.0])


def test_arrows_lead_to_the_units_of_the_target():
    target = mf.CommitteeTarget(k=2, gram=[[1.0, 0.6], [0.6, 1.0]])
    problem = mf.Problem(target, dim=20)
    run = mf.solve_mean_field(problem, mf.gaussian_measure(problem, 9), 0.5, save_at=3)
    for directions in ((0, 1), (1, 0)):
        ax = plot_neurons(run, directions=directions)
        tips = [text.xy for text in ax.texts]
        np.testing.assert_allclose(tips, np.asarray(target.basis)[:, directions])


def test_the_clouds_shown_are_equally_far_apart(runs):
    run = mf.solve_mean_field(
        runs["mean field"].problem, runs["mean field"].states[0], 20.0, save_at=81
    )
    clouds = [np.asarray(dots.get_offsets()) for dots in plot_cloud(run).collections]
    steps = [np.hypot(*(b - a).T).mean() for a, b in itertools.pairwise(clouds)]
    assert len(clouds) == 4 and max(steps) < 1.5 * min(steps)


def test_bands_and_fits_of_rates(study):
    """The curve is the fitted power with its correction; the band spans the slope's interval."""
    ax = plot_rates(study, quantities=("leak",))
    rate = study.rate("leak")
    curve = ax.lines[1]
    d, fit = curve.get_data()
    np.testing.assert_allclose(fit, rate.prefactor * d**rate.slope * np.exp(rate.correction / d))
    assert f"± {0.5 * (rate.high - rate.low):.3f}" in ax.texts[0].get_text()
    corners = ax.collections[0].get_paths()[0].vertices
    at_the_least = corners[np.isclose(corners[:, 0], d[0]), 1]
    expected = fit[0] * (d[0] / d[-1]) ** (np.array([rate.high, rate.low]) - rate.slope)
    np.testing.assert_allclose([at_the_least.min(), at_the_least.max()], expected, rtol=1e-6)


def test_bands_of_curves_are_standard_errors():
    study = mf.concentration_study(
        mf.CommitteeTarget(k=1), [10, 20], n=20, t_end=0.5, replicas=3, saves=3, sampling="random"
    )
    band = plot_curves(study, "energy").collections[0].get_paths()[0].vertices
    finals = study.replicas["energy"][0][:, -1]
    at_the_end = band[np.isclose(band[:, 0], 0.5), 1]
    error = finals.std(ddof=1) / math.sqrt(3)
    assert np.ptp(at_the_end) == pytest.approx(2 * error)


def test_the_cloud_is_the_neurons(runs):
    run = runs["overlaps"]
    ax = plot_cloud(run, times=[0.0, 2.0])
    (first, last), law = ax.collections, run.states[2].measure()
    expected = np.column_stack((np.sqrt((law.u**2).sum(axis=1)), law.r))
    np.testing.assert_allclose(last.get_offsets(), expected)
    assert len(first.get_offsets()) == 5
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["t = 0", "t = 2"]


def test_neurons_with_their_signs_trails_and_risk(runs):
    run = runs["mean field"]
    ax = plot_neurons(run, directions=(1, 0), index=1)
    state = run.states[1]
    positive, negative = ax.collections
    np.testing.assert_allclose(positive.get_offsets(), state.u[state.a >= 0][:, ::-1])
    np.testing.assert_allclose(negative.get_offsets(), state.u[state.a < 0][:, ::-1])
    assert len(ax.lines[0].get_xdata()) == 2  # from the start to the second time
    (inset,) = ax.child_axes
    np.testing.assert_array_equal(inset.lines[0].get_ydata(), run.risk)
    assert inset.lines[1].get_xdata() == [run.t[1]]


def test_moving_pictures_move(runs, tmp_path):
    for animate in (animate_alignment, animate_neurons):
        path = tmp_path / "moving.gif"
        animate(runs["sgd"], run=1).save(path, writer="pillow", dpi=20)
        assert path.stat().st_size > 1000


def test_curves_and_rates_of_a_study(study):
    ax = plot_curves(study, "leak")
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), study.curves["leak"][0][1:])
    assert len(ax.lines) == 5 and len(ax.collections) == 4
    assert ax.lines[4].get_label() == "∞: 0" and len(ax.lines[4].get_xdata()) == 0  # a log axis
    ax = plot_curves(study, "risk")
    assert len(ax.lines) == 5
    ax = plot_rates(study, quantities=("perpendicular", "risk"))
    assert "perpendicular" in ax.texts[0].get_text()
    assert f"{study.rate('perpendicular').slope:.3f}" in ax.texts[0].get_text()
    with pytest.raises(ValueError, match="quantity"):
        plot_rates(study, quantities=("speed",))
    with pytest.raises(ValueError, match="width"):
        plot_curves(study, width=3)


def test_pictures_refuse_what_they_cannot_show(runs):
    line = mf.Problem(mf.CommitteeTarget(k=1), dim=20)
    flat = mf.solve_mean_field(line, mf.gaussian_measure(line, 5), 0.5, save_at=2)
    for plot in (plot_alignment_law, plot_alignment_histogram, plot_cloud, plot_neurons):
        with pytest.raises(TypeError, match="solution"):
            plot(3)
        with pytest.raises(ValueError, match="run"):
            plot(runs["sgd"], run=2)
    with pytest.raises(ValueError, match="two principal directions"):
        plot_neurons(flat)
    for directions in ((0, 0), (0, 2)):
        with pytest.raises(ValueError, match="directions"):
            plot_neurons(runs["overlaps"], directions=directions)
    for plot in (plot_neurons, plot_alignment_histogram):
        with pytest.raises(ValueError, match="index"):
            plot(runs["overlaps"], index=3)
