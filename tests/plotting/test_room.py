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
    assert ax.patches and "square-root" in ax.get_ylabel()  # all neurons start in one bin
    plt.close(ax.figure)


def test_labels_of_slopes_stay_above_the_axis():
    dims = [10, 20, 40, 80, np.inf]
    study = mf.concentration_study(mf.CommitteeTarget(k=1), dims, n=20, t_end=1.0)
    ax = plot_rates(study)
    ax.figure.draw_without_rendering()
    bottom = ax.get_window_extent().y0
    assert ax.texts and all(text.get_window_extent().y0 > bottom for text in ax.texts)
    plt.close(ax.figure)
