"""What targets do to neurons, against Hermite series and adaptive quadrature."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr

import meanfield as mf
from meanfield.activations import custom, get_activation
from meanfield.gaussian.hermite_coefficients import student_coefficients
from meanfield.targets import potential_of
from meanfield.targets.potentials.units import LinkRules, link_rule

U = np.array([[0.8], [-2.0], [1.0], [0.0]])
R = np.array([0.6, 1e-3, 0.0, 1.5])


def by_series(link, student):
    """Σ_m c_m h_m(q) (u/√q)^m, of links whose coefficients c_m are known."""
    root = np.hypot(U[:, 0], R)
    h, *_ = student_coefficients(get_activation(student), root, 80)
    m = np.arange(80)
    c = np.zeros(80)
    if link == "sine":  # of 4x
        c[1::2] = [(-1) ** i * math.exp(j * math.log(4) - 8 - 0.5 * math.lgamma(j + 1))
                   for i, j in enumerate(range(1, 80, 2))]  # fmt: skip
    else:
        c[int(link[-1])] = 1.0
    return (h * (U[:, :1] / root[:, None]) ** m) @ c


@pytest.mark.parametrize(
    ("student", "link", "length"),
    [
        ("relu", "sine", 4.0), ("relu", "hermite6", 1.0), ("erf", "hermite3", 1.0),
        ("erf", "sine", 4.0),
    ],
)  # fmt: skip
def test_links_that_a_coarse_rule_misses(student, link, length):
    """They were 1e-2, 6e-5 and 1e-5 off."""
    target = mf.CommitteeTarget(1, link, gram=[[length**2]])
    problem = mf.Problem(target, student, math.inf)
    potential = potential_of(target, problem.student)
    found = potential(U, R)
    np.testing.assert_allclose(found[0], by_series(link, student), rtol=0, atol=1e-12)
    assert all(float(np.abs(off).max()) < 1e-12 for off in potential.miss(U, R, found=found))


def bend(x):
    return np.abs(x - 0.7) * np.sin(x)


@pytest.mark.parametrize("kinks", [(0.7,), ()])
def test_links_with_kinks(kinks):
    """They are met, declared or found."""
    target = mf.CommitteeTarget(1, custom(bend, name="bend", kinks=kinks))
    problem = mf.Problem(target, "leaky_relu(0.2)", math.inf)
    potential = potential_of(target, problem.student)
    found = potential(U[:1], R[:1])

    def slope(x):  # 0.2 x + 0.8 ReLU
        weight = math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
        return float(bend(x)) * weight * x * (0.2 + 0.8 * ndtr(0.8 * x / 0.6))

    exact = sum(quad(slope, a, b, epsabs=1e-13)[0] for a, b in ((-9, 0), (0, 0.7), (0.7, 9)))
    true = abs(found[1][0, 0] - exact)
    stated = float(np.abs(potential.miss(U[:1], R[:1])[1]).max())
    assert true < 1e-12 and stated < 1e-12


@pytest.mark.parametrize("student", ["tanh", "sigmoid"])
@pytest.mark.parametrize("scale", [0.1, 3.0, 200.0])
def test_a_check_takes_as_many_nodes_as_its_neurons_need(student, scale):
    """It is what the rule in use is held to, which knows no reach."""
    rules = LinkRules(get_activation(student), mf.CommitteeTarget(1, "tanh").units)
    u, r = scale * U, scale * R
    for fine, used in zip(rules.other(u, r), rules(u, r), strict=True):
        np.testing.assert_allclose(fine, used, rtol=1e-11, atol=1e-12 * np.abs(used).max())


def test_a_check_of_smooth_students_and_links_takes_equal_steps_unless_panels_take_fewer_nodes():
    sigmoid, erf, relu = map(get_activation, ("sigmoid", "erf", "relu"))
    x, _ = link_rule(sigmoid, erf, 1.0, reach=3.0, other=True)
    np.testing.assert_allclose(np.diff(x), x[1] - x[0])
    assert len(x) < 0.5 * len(link_rule(sigmoid, erf, 1.0, reach=3.0)[0])
    for student, link, reach in ((sigmoid, relu, 3.0), (sigmoid, erf, 300.0), (relu, erf, 3.0)):
        x, _ = link_rule(student, link, 1.0, reach=reach, other=True)
        assert (
            np.ptp(np.diff(x)) > 0.01
        )  # panels, which break at kinks and shrink where it is steep
