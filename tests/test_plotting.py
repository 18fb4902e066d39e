"""Figures have what a reader needs: labelled axes, legends, numbers that match."""

import math

import matplotlib as mpl
import numpy as np
import pytest

import meanfield as mf
from meanfield.projection import concentration
from tests.fields.cases import make_measure, make_problem

mpl.use("Agg")

from matplotlib import pyplot as plt

from meanfield.plotting import plot_alignment, plot_concentration


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
