"""Nothing in a picture covers what it shows."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import meanfield as mf
from meanfield.plotting import plot_alignment_histogram, plot_neurons, plot_rates


def test_the_inset_covers_no_neuron():
    problem = mf.Problem(mf.CommitteeTarget(k=2), dim=10, learning_rate=0.1)
    run = mf.solve_overlaps(problem, mf.gaussian_overlaps(problem, 8, seed=3), 20.0, save_at=5)
    ax = plot_neurons(run)
    ax.figure.draw_without_rendering()
    box = ax.child_axes[0].get_window_extent()
    places = np.concatenate([state.measure().u for state in run.states])
    pixels = ax.transData.transform(places)
    assert not any(box.contains(*pixel) for pixel in pixels)
    plt.close(ax.figure)


@pytest.mark.parametrize("index", [0, -1])
def test_no_bar_is_cut(index):
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=10_000)
    run = mf.solve_mean_field(problem, mf.gaussian_measure(problem, n=300), 30.0, save_at=16)
    ax = plot_alignment_histogram(run, index=index)
    top = ax.get_ylim()[1]
    assert all(bar.get_height() < top for bar in ax.patches if hasattr(bar, "get_height"))
    assert ax.patches
    plt.close(ax.figure)


def test_labels_of_slopes_stay_above_the_axis():
    dims = [10, 30, 100, 300, np.inf]
    study = mf.concentration_study(mf.CommitteeTarget(k=1), dims, n=500, t_end=5.0)
    ax = plot_rates(study)
    ax.figure.draw_without_rendering()
    bottom = ax.get_window_extent().y0
    assert ax.texts and all(text.get_window_extent().y0 > bottom for text in ax.texts)
    plt.close(ax.figure)


def test_a_start_in_one_bin_does_not_flatten_what_follows():
    """Ninety neurons at one angle that spread over ninety degrees."""
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    angles = np.linspace(0.01, 0.5 * np.pi - 0.01, 90)
    u = np.stack([np.full(90, 0.01), *[np.cos(angles)] * 4])[:, :, None]
    r = np.stack([np.full(90, 1.0), *[np.sin(angles)] * 4])
    states = mf.StateSeries("ParticleMeasure", {"u": u, "r": r}, {"a": np.ones(90)}, (5,), {})
    run = mf.Solution(np.arange(5.0), np.ones(5), states, mf.Status.SUCCESS, "", {}, problem)
    ax = plot_alignment_histogram(run)
    assert "square-root" in ax.get_ylabel()
    assert ax.get_ylim()[1] > 0.5  # where the start's outline, all in a bin of two degrees, ends
    low, high = ax.transData.transform([(0, 0), (0, ax.patches[0].get_height())])[:, 1]
    assert (high - low) / ax.get_window_extent().height > 0.05  # on a linear scale: 0.014
    plt.close(ax.figure)
