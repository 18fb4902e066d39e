"""The one compiled call of small networks against the same velocity put together by NumPy."""

import dataclasses

import numba
import numpy as np
import pytest

from meanfield.dynamics.overlaps import flow as overlap_flow
from meanfield.dynamics.overlaps.averages import OverlapAverages
from meanfield.dynamics.overlaps.noise import ErfNoise
from meanfield.kernels.threads import thread_limit
from tests.dynamics.overlaps.test_overlaps import PAIRS, make_overlaps, make_problem


def make_flow(problem, overlaps, noise=None, spherical=False):
    return overlap_flow.OverlapFlow(
        problem, overlaps, OverlapAverages(problem), noise, spherical, batch_size=2
    )


def both(flow, y):
    """The velocity by one compiled call and by the general path."""
    assert flow.small is not None
    one, other = np.empty_like(y), np.empty_like(y)
    flow.velocity(0.0, y, one)
    flow._velocity(y, other)
    return one, other


def disturbed(flow):
    """A state that no start would be: not on the sphere, N not symmetric."""
    return flow.y0 * (1.0 + 0.1 * np.random.default_rng(0).uniform(size=flow.y0.size))


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize("heat", [False, True])
@pytest.mark.parametrize(("sigma", "tau"), PAIRS)
def test_the_drift(sigma, tau, heat, spherical):
    problem = make_problem(sigma, tau, k=3, kappa=0.7)
    decays = {"weight_decay": 0.2, "second_layer_decay": 0.1, "temperature": 0.01 * heat}
    problem = dataclasses.replace(problem, **decays)
    flow = make_flow(problem, make_overlaps(problem, 9), spherical=spherical)
    one, other = both(flow, disturbed(flow))
    np.testing.assert_allclose(one, other, rtol=0.0, atol=1e-13 * np.abs(other).max())


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize("p", [1, 5, overlap_flow.SERIAL, overlap_flow.SERIAL + 3])
@pytest.mark.parametrize("tau", ["erf", "relu"])
def test_with_the_noise_of_sgd(tau, p, spherical):
    problem = make_problem("erf", tau, gamma=2.0, kappa=0.3)
    flow = make_flow(problem, make_overlaps(problem, p), ErfNoise(problem.target), spherical)
    one, other = both(flow, disturbed(flow))
    np.testing.assert_allclose(one, other, rtol=0.0, atol=1e-13 * np.abs(other).max())


def test_wide_networks_and_other_activations_take_the_general_path():
    problem = make_problem("tanh", "tanh", gamma=0.0, noise=0.0)
    assert make_flow(problem, make_overlaps(problem, 3)).small is None
    problem = make_problem(gamma=0.0, dim=400)
    assert make_flow(problem, make_overlaps(problem, overlap_flow.SMALL + 1)).small is None


def test_the_shared_call_is_blind_to_threads():
    problem = make_problem(gamma=20.0, dim=100)
    flow = make_flow(problem, make_overlaps(problem, 30), ErfNoise(problem.target))
    found = []
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        with thread_limit(threads):
            found.append(np.empty_like(flow.y0))
            flow.velocity(0.0, flow.y0, found[-1])
    assert np.array_equal(*found)


def test_a_state_that_blew_up_stays_so():
    problem = make_problem()
    flow = make_flow(problem, make_overlaps(problem, 4), ErfNoise(problem.target))
    out = np.empty_like(flow.y0)
    flow.velocity(0.0, np.full_like(flow.y0, np.nan), out)
    assert np.isnan(out).all()
