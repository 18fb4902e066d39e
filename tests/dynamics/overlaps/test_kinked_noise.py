"""The γ/p term of ReLU and leaky ReLU students in closed form."""

import numpy as np
import pytest

import meanfield as mf
from meanfield.dynamics.overlaps.averages import Network
from meanfield.dynamics.overlaps.kinked_noise import KinkedNoise
from meanfield.kernels.gaussian.signs import COARSE, COARSE_ENDS, FINE, FINE_ENDS, four_signs
from tests.reference import signs as twin

STUDENTS, LINKS = ("relu", "leaky_relu(0.2)"), ("relu", "leaky_relu(0.3)", "erf", "square")


def correlations(rng, near):
    """Of four vectors; the second and fourth are `near` the first and the third."""
    W = rng.standard_normal((4, 6))
    W[1], W[3] = W[0] + near * W[1], -W[2] + near**0.7 * W[3]
    W /= np.linalg.norm(W, axis=1)[:, None]
    return W @ W.T


def make(sigma, tau, noise=0.3):
    target = mf.CommitteeTarget(
        k=2, activation=tau, gram=[[1.0, 0.3], [0.3, 0.7]], weights=[1.0, -0.7], noise=noise
    )
    return mf.Problem(target, sigma, dim=1000, learning_rate=0.5)


def network(W, a, rank=2):
    N = W[:, rank:] @ W[:, rank:].T
    return Network(a, np.ascontiguousarray(W[:, :rank]), W @ W.T, np.diag(N).copy(), N)


def closed(problem):
    term = KinkedNoise(problem.student, problem.target, problem.target.units)
    term.label_noise = problem.target.noise
    return term


@pytest.mark.parametrize(
    ("near", "error"), [(1.0, 1e-10), (0.1, 1e-10), (1e-2, 3e-9), (1e-4, 3e-8)]
)
def test_four_signs(near, error):
    rng = np.random.default_rng(4)
    for _ in range(4):
        R = correlations(rng, near)
        found = [
            four_signs(R, *order, FINE[0], FINE[1], FINE_ENDS)
            for order in ((0, 1, 2, 3), (3, 1, 0, 2), (2, 0, 3, 1))
        ]
        assert np.ptp(found) < error
        assert abs(found[0] - twin.four_signs(R)) < error
        coarse = four_signs(R, 0, 1, 2, 3, COARSE[0], COARSE[1], COARSE_ENDS)
        assert abs(coarse - found[0]) < 1e-5


def test_four_signs_of_equal_ones():
    R = np.kron(np.array([[1.0, 0.3], [0.3, 1.0]]), np.ones((2, 2)))
    assert abs(four_signs(R, 0, 1, 2, 3, FINE[0], FINE[1], FINE_ENDS) - 1.0) < 1e-8
    R[:2, 2:] = R[2:, :2] = 0.0
    R[2, 3] = R[3, 2] = -0.5  # E s₁s₂s₃s₄ = E s₃s₄
    value = four_signs(R, 0, 1, 2, 3, FINE[0], FINE[1], FINE_ENDS)
    assert abs(value - 2.0 / np.pi * np.arcsin(-0.5)) < 1e-8


@pytest.mark.parametrize("sigma", STUDENTS)
@pytest.mark.parametrize("tau", LINKS)
def test_units_in_one_plane(sigma, tau):
    """Exactly by quadrature; every four of them are linearly dependent, and some are equal."""
    problem, rng = make(sigma, tau), np.random.default_rng(5)
    student, target, term = problem.student, problem.target, closed(problem)
    W, a = rng.standard_normal((4, 2)), rng.uniform(0.5, 2.0, 4)
    for last in (2.0 * W[1], rng.standard_normal(2)):
        W[3] = last
        kinks = np.concatenate((W, target.units.basis))
        exact = twin.planar_noise(
            student.derivative, student.function, target, W, a, kinks, target.noise
        )
        found = np.linalg.norm(term.term(network(W, a)) - exact) / np.linalg.norm(exact)
        assert found < term.error(network(W, a)) < 2e-6


@pytest.mark.parametrize("sigma", STUDENTS)
@pytest.mark.parametrize("tau", LINKS)
def test_against_sampling(sigma, tau):
    problem, rng = make(sigma, tau), np.random.default_rng(6)
    W, a = rng.standard_normal((4, 6)), rng.uniform(0.5, 2.0, 4)
    student, means = problem.student, []
    for _ in range(16):
        z = rng.standard_normal((50_000, 6))
        error = problem.target(z[:, :2]) - student.function(z @ W.T) @ a / 4
        slopes = student.derivative(z @ W.T)
        means.append((slopes * (error**2 + problem.target.noise)[:, None]).T @ slopes / len(z))
    spread = np.std(means, axis=0, ddof=1) / 4.0
    term = closed(problem)
    found = term.term(network(W, a))
    assert (np.abs(found - np.mean(means, axis=0)) < 4.5 * spread).all()
    assert spread.max() < 3e-3 * np.abs(found).max()
    assert term.error(network(W, a)) < 1e-10


def test_solver_takes_it_and_says_its_error():
    problem = make("relu", "relu")
    start = mf.gaussian_overlaps(problem, p=3, seed=1)
    run = mf.solve_overlaps(problem, start, 1.0, save_at=3)
    assert run.stats["noise_method"] == "closed"
    assert 0.0 < run.stats["noise_error"] < 1e-8
    sampled = mf.solve_overlaps(problem, start, 1.0, save_at=3, noise_method="sampled")
    assert abs(run.risk[-1] / sampled.risk[-1] - 1.0) < 2.0 * sampled.stats["noise_error"]


def test_neurons_of_no_length_and_threads():
    problem, rng = make("relu", "erf"), np.random.default_rng(7)
    W, a = rng.standard_normal((5, 7)), np.ones(5)
    W[2] = 0.0
    found = closed(problem).term(network(W, a))
    assert np.isfinite(found).all()
    from meanfield.kernels.threads import thread_limit

    with thread_limit(1):
        assert (closed(problem).term(network(W, a)) == found).all()
