"""How long a single index stays unseen: the information exponent decides.

From an overlap m0 = 1/√d, gradient flow on the sphere needs a time of order one for exponent 1,
log d for 2, and d^((ℓ − 2)/2) for ℓ ≥ 3 (Ben Arous, Gheissari & Jagannath 2021), in the clock
t = ν γ/(p d). Here even the constants are known: the overlap m of one neuron with one direction
follows dm/dt = (1 − m²) c'(m), where c(m) = E σ(x) σ*(y) at correlation m.
"""

import math

import numpy as np
import pytest
from scipy.integrate import quad

import meanfield as mf
from meanfield.activations import get_activation

LEVEL = 0.5
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def correlation_slope(activation, m):
    """c'(m) = E σ'(x) σ'(y) at correlation m, by quadrature over two Gaussians."""
    slope = get_activation(activation).derivative
    x = NODES[:, None]
    y = m * x + math.sqrt(1 - m * m) * NODES[None, :]
    return float(WEIGHTS @ (slope(x) * slope(y)) @ WEIGHTS)


def predicted_time(activation, m0, m1=LEVEL):
    # in log m, where the integrand is mild
    def integrand(s):
        m = math.exp(s)
        return m / ((1 - m * m) * correlation_slope(activation, m))

    return quad(integrand, math.log(m0), math.log(m1), epsrel=1e-10, limit=400)[0]


def crossing(t, values, level=LEVEL):
    i = int(np.argmax(values > level))
    assert i > 0, "never crossed"
    return float(np.interp(level, values[i - 1 : i + 1], t[i - 1 : i + 1]))


def exit_time(activation, d, t_guess, *, spherical=True):
    problem = mf.Problem(mf.CommitteeTarget(k=1, activation=activation), activation, d)
    start = mf.aligned_overlaps(problem, 1, overlap=1 / math.sqrt(d))
    times = np.concatenate(([0.0], np.linspace(0.5 * t_guess, 1.5 * t_guess, 4001)))
    solution = mf.solve_overlaps(
        problem, start, times[-1], spherical=spherical, save_at=times, rtol=1e-9, atol=1e-14
    )
    assert solution.success
    return crossing(solution.t, solution.states.varying["M"][:, 0, 0])


DIMS = 10.0 ** np.arange(4, 9)


@pytest.mark.parametrize("activation", ["erf", "square"])
def test_times_are_those_of_the_scalar_equation(activation):
    for d in DIMS[::2]:
        expected = predicted_time(activation, 1 / math.sqrt(d))
        assert exit_time(activation, int(d), expected) == pytest.approx(expected, rel=1e-5)


def test_exponent_1_takes_a_time_of_order_one():
    times = [exit_time("erf", int(d), predicted_time("erf", 1 / math.sqrt(d))) for d in DIMS]
    assert np.ptp(times) < 0.02 * times[-1]
    assert mf.targets.information_exponent(mf.CommitteeTarget(k=1)) == 1


@pytest.mark.parametrize("spherical", [True, False])
def test_exponent_2_takes_a_logarithm(spherical):
    """dm/dt = 4 m on the sphere; without it, |w|²/d first falls to 1/3, where dm/dt = 4 m too."""
    guess = [predicted_time("square", 1 / math.sqrt(d)) for d in DIMS]
    times = [
        exit_time("square", int(d), t, spherical=spherical)
        for d, t in zip(DIMS, guess, strict=True)
    ]
    slopes = np.diff(times) / np.diff(np.log(DIMS))
    assert slopes == pytest.approx(1 / 8, rel=1e-2 if spherical else 2e-2)
    assert mf.targets.information_exponent(mf.CommitteeTarget(k=1, activation="square")) == 2


def test_a_wide_network_takes_the_same_logarithm():
    """Mean field: u grows as exp(4t) from its 1/√d while f does not move."""
    times = []
    dims = (10**3, 10**4, 10**5, 10**6)
    for d in dims:
        problem = mf.Problem(mf.CommitteeTarget(k=1, activation="square"), "square", d)
        start = mf.gaussian_measure(problem, 64, sampling="antithetic-sobol")
        solution = mf.solve_mean_field(problem, start, 3.0, save_at=601)
        energy = (solution.states.varying["u"][:, :, 0] ** 2).mean(axis=1)
        times.append(crossing(solution.t, energy, 0.25))
    assert np.diff(times) / math.log(10) == pytest.approx(1 / 8, rel=0.01)


def test_sgd_takes_the_time_of_the_equation():
    """d log d samples at a small learning rate γ; the noise takes 24 γ of the rate 4."""
    d, gamma = 3000, 0.02
    problem = mf.Problem(mf.CommitteeTarget(k=1, activation="square"), "square", d, gamma)
    start = mf.aligned_overlaps(problem, 1, overlap=3 / math.sqrt(d))
    runs = mf.simulate_sgd(problem, start, 1.4, runs=24, spherical=True, save_at=281)
    times = [crossing(runs.t, np.abs(M)) for M in runs.states.varying["M"][:, :, 0, 0]]
    equation = mf.solve_overlaps(problem, start, 1.4, spherical=True, save_at=281)
    expected = crossing(equation.t, equation.states.varying["M"][:, 0, 0])
    assert abs(np.mean(times) - expected) < 4 * np.std(times) / math.sqrt(len(times)) + 0.02
    seed = mf.aligned_overlaps(problem, 1, overlap=1e-5)
    growth = mf.overlap_velocity(problem, seed, spherical=True).M[0, 0] / 1e-5
    assert growth == pytest.approx(4 - 24 * gamma, rel=1e-6)
