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
from meanfield.studies.power_laws import fit_rate

LEVEL = 0.5
DIMS = 10.0 ** np.arange(4, 9)
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def correlation_slope(activation, degrees=24):
    """c'(m) = Σ_j j c_j² m^(j − 1) from Hermite coefficients c_j, a polynomial in m."""
    basis = [1 / math.sqrt(math.factorial(j)) for j in range(degrees)]
    table = np.polynomial.hermite_e.hermevander(NODES, degrees - 1) * basis
    c = (WEIGHTS * get_activation(activation).function(NODES)) @ table
    c[np.abs(c) < 1e-10] = 0.0
    return np.polynomial.Polynomial(c**2).deriv()


def information_exponent(activation):
    return mf.targets.information_exponent(mf.CommitteeTarget(k=1, activation=activation))


def predicted_time(activation, m0, m1=LEVEL):
    slope = correlation_slope(activation)

    def integrand(s):  # in log m, where it is mild
        m = math.exp(s)
        return m / ((1 - m * m) * slope(m))

    return quad(integrand, math.log(m0), math.log(m1), epsrel=1e-10, limit=400)[0]


def crossing(t, values, level=LEVEL):
    i = int(np.argmax(values > level))
    assert i > 0, "never crossed"
    return float(np.interp(level, values[i - 1 : i + 1], t[i - 1 : i + 1]))


def exit_time(activation, d, about, *, spherical=True):
    """Time to reach LEVEL from 1/√d; the run ends soon after, since a finished one costs steps."""
    problem = mf.Problem(mf.CommitteeTarget(k=1, activation=activation), activation, int(d))
    start = mf.aligned_overlaps(problem, 1, overlap=1 / math.sqrt(d))
    times = np.append(0.0, np.linspace(about - 0.3, about + 0.3, 601))
    solution = mf.solve_overlaps(
        problem, start, times[-1], spherical=spherical, save_at=times, rtol=1e-9, atol=1e-14
    )
    assert solution.success
    return crossing(solution.t, solution.states.varying["M"][:, 0, 0])


def test_times_are_those_of_the_scalar_equation():
    for activation in ("square", "gelu", "hermite3"):
        for d in DIMS[::2]:
            expected = predicted_time(activation, 1 / math.sqrt(d))
            assert exit_time(activation, d, expected) == pytest.approx(expected, rel=1e-4)


def test_exponent_1_takes_a_time_of_order_one():
    for activation in ("erf", "tanh"):
        times = [exit_time(activation, d, predicted_time(activation, d**-0.5)) for d in DIMS]
        assert np.ptp(times) < 0.02 * times[-1]
        assert information_exponent(activation) == 1


@pytest.mark.parametrize("activation", ["square", "hermite2"])
def test_exponent_2_takes_a_logarithm(activation):
    """dm/dt = 2 c_2² m near 0, so t = log d/(4 c_2²) + constant; c_2² = 2 for the square."""
    c2 = 2.0 if activation == "square" else 1.0
    times = [exit_time(activation, d, predicted_time(activation, d**-0.5)) for d in DIMS]
    slopes = np.diff(times) / np.diff(np.log(DIMS))
    assert slopes == pytest.approx(1 / (4 * c2), rel=1e-3)
    assert information_exponent(activation) == 2


def test_exponent_2_takes_a_logarithm_without_the_sphere():
    """|w|²/d of a square neuron first falls to 1/3, where dm/dt = 4 m as on the sphere."""
    about = [predicted_time("square", d**-0.5) + 0.137 for d in DIMS]
    times = [exit_time("square", d, t, spherical=False) for d, t in zip(DIMS, about, strict=True)]
    assert np.diff(times) / np.diff(np.log(DIMS)) == pytest.approx(1 / 8, rel=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize("degree", [3, 4])
def test_exponent_3_and_beyond_takes_a_power(degree):
    """t = d^((ℓ − 2)/2)/(ℓ (ℓ − 2)), with the fitted exponent's interval about (ℓ − 2)/2."""
    link = f"hermite{degree}"
    times = [exit_time(link, d, predicted_time(link, d**-0.5)) for d in DIMS]
    rate = fit_rate(DIMS, np.array(times))
    assert rate.low - 1e-3 < (degree - 2) / 2 < rate.high + 1e-3
    assert rate.high - rate.low < 0.02
    assert rate.prefactor * degree * (degree - 2) == pytest.approx(1.0, rel=0.02)
    assert information_exponent(link) == degree


def test_a_negative_overlap_is_never_corrected_at_odd_exponents():
    problem = mf.Problem(mf.CommitteeTarget(k=1, activation="hermite3"), "hermite3")
    start = mf.aligned_overlaps(problem, 1, overlap=-0.1)
    solution = mf.solve_overlaps(problem, start, 100.0, spherical=True, save_at=[100.0])
    assert -0.01 < solution.final.M[0, 0] < 0.0


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
