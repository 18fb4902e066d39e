"""Rules against the moments, in closed form, of the laws they stand for."""

import math

import numpy as np
import pytest
from scipy.special import gammaln, j0

from meanfield.gaussian import rules

DIMENSIONS = [1, 2, 3, 5, 9, 99, 999, 10**6]


@pytest.mark.parametrize("D", [*DIMENSIONS, math.inf])
def test_sphere_coordinate_moments(D):
    u, w = rules.sphere_coordinate_rule(D, 12)
    assert w.sum() == pytest.approx(1.0, rel=1e-14)
    assert (w > 0).all() and (abs(u) <= 1).all()
    moment = 1.0  # E U^2m = Π (2j + 1)/(D + 2j)
    for m in range(11):
        assert w @ u ** (2 * m) == pytest.approx(moment, rel=1e-12, abs=1e-300)
        assert abs(w @ u ** (2 * m + 1)) < 1e-15
        moment *= (2 * m + 1) / (D + 2 * m)


@pytest.mark.parametrize("D", [2, 3, 9, 99])
def test_sphere_rule_is_gauss(D):
    """n nodes integrate degree 2n − 1 and no more."""
    u, w = rules.sphere_coordinate_rule(D, 4)
    exact = np.prod([(2 * j + 1) / (D + 2 * j) for j in range(4)])
    assert abs(w @ u**8 - exact) > 1e-6 * exact
    exact = np.prod([(2 * j + 1) / (D + 2 * j) for j in range(3)])
    assert w @ u**6 == pytest.approx(exact, rel=1e-13)


@pytest.mark.parametrize("dof", DIMENSIONS)
def test_chi_moments(dof):
    rho, w = rules.chi_rule(dof, 40)
    assert (rho > 0).all() and (w >= 0).all()
    assert w.sum() == pytest.approx(1.0, rel=1e-13)
    moment = 1.0  # E ρ^2m = Π (D + 2j)
    for m in range(4):
        assert w @ rho ** (2 * m) == pytest.approx(moment, rel=1e-9)
        moment *= dof + 2 * m


@pytest.mark.parametrize("dof", DIMENSIONS)
def test_chi_odd_moment(dof):
    """E ρ = √2 Γ((D + 1)/2)/Γ(D/2): not a polynomial in ρ², so that D = 9 is the hardest."""
    rho, w = rules.chi_rule(dof, 40)
    if dof > 10**4:  # the difference of two logarithms of Gamma functions has no digits left
        exact = math.sqrt(dof) * (1 - 1 / (4 * dof) + 1 / (32 * dof**2))
    else:
        exact = math.sqrt(2) * math.exp(gammaln((dof + 1) / 2) - gammaln(dof / 2))
    assert w @ rho == pytest.approx(exact, rel=1e-11 if dof != 9 else 2e-8)


@pytest.mark.parametrize("dof", [2, 8, 9, 99])
def test_chi_and_sphere_together_are_gaussian(dof):
    """Hence ρU is a standard normal: E cos(sρU) = exp(−s²/2)."""
    rho, w_rho = rules.chi_rule(dof, 60)
    u, w_u = rules.sphere_coordinate_rule(dof, 60)
    for s in (0.3, 1.0, 2.0):
        average = w_rho @ np.cos(s * np.outer(rho, u)) @ w_u
        assert average == pytest.approx(math.exp(-0.5 * s * s), rel=1e-12)


def test_chi_resolves_a_fast_integrand():
    rho, w = rules.chi_rule(2, 120)
    assert w @ j0(30.0 * rho / 9.0) == pytest.approx(math.exp(-0.5 * (30 / 9) ** 2), rel=1e-9)


def test_panels_integrate_across_a_kink():
    breaks = np.array([-1.0, 0.25, 0.5, 3.0])
    x, w = rules.panel_rule(breaks, 4)
    assert len(x) == 12
    assert w.sum() == pytest.approx(4.0, rel=1e-14)
    assert w @ abs(x - 0.25) == pytest.approx(0.5 * (1.25**2 + 2.75**2), rel=1e-14)
    assert w @ x**7 == pytest.approx((3.0**8 - 1.0) / 8, rel=1e-13)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("level", [3, 6, 11, 35, 100, 150, 401])
def test_half_sphere_moments(k, level):
    e, w = rules.half_sphere_rule(k, level)
    assert e.shape == (len(w), k)
    assert (w > 0).all() and w.sum() == pytest.approx(1.0, rel=1e-14)
    assert (e * e).sum(axis=1) == pytest.approx(1.0, rel=1e-14)
    direction = np.array([0.48, -0.6, 0.64])[:k] if k > 1 else np.ones(1)
    direction = direction / np.sqrt(direction @ direction)
    moment = 1.0  # E (e·v)^2m = Π (2j + 1)/(k + 2j)
    for m in range(level // 2 + 1):
        assert w @ (e @ direction) ** (2 * m) == pytest.approx(moment, rel=1e-11)
        moment *= (2 * m + 1) / (k + 2 * m)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_half_sphere_holds_one_of_each_antipodal_pair(k):
    e, _ = rules.half_sphere_rule(k, 41)
    cosines = e @ e.T
    assert cosines.min() > -1 + 1e-9
    assert (cosines - 2 * np.eye(len(e))).max() < 1 - 1e-9


def test_directions_in_four_dimensions_are_refused():
    with pytest.raises(ValueError, match="k must be 1, 2 or 3"):
        rules.half_sphere_rule(4, 5)


@pytest.mark.parametrize("nodes", [20, 96, 256])
def test_weights_keep_their_digits_in_the_tails(nodes):
    """1/Σ p_i², the sum in 64 bits of mantissa at nodes that Newton's method has polished."""
    x, w = rules.hermite_rule(nodes)
    x, root = x.astype(np.longdouble), np.sqrt(np.arange(nodes + 1, dtype=np.longdouble))
    for _ in range(2):
        before, now, total = np.zeros_like(x), np.ones_like(x), np.zeros_like(x)
        for i in range(nodes):
            total += now * now
            before, now = now, (x * now - root[i] * before) / root[i + 1]
        x = x - now / (root[nodes] * before)
    assert w[-1] < 1e-12 and np.abs(w * total - 1.0).max() < 1e-11


@pytest.mark.parametrize("nodes", [40, 144])
def test_polynomials_of_high_degree_have_unit_norm(nodes):
    x, w = rules.hermite_rule(nodes)
    before, now = np.zeros_like(x), np.ones_like(x)
    for n in range(nodes):
        assert w @ (now * now) == pytest.approx(1.0, abs=1e-12)
        before, now = now, (x * now - math.sqrt(n) * before) / math.sqrt(n + 1.0)


@pytest.mark.parametrize("nodes", [1, 4, 14, 40])
def test_moments_of_half_a_gaussian(nodes):
    """Exact to degree 2n − 1: E |x|^m = 2^(m/2) Γ((m + 1)/2)/√π."""
    x, w = rules.half_gaussian_rule(nodes)
    for m in range(min(2 * nodes, 40)):
        exact = 2.0 ** (m / 2) * math.gamma((m + 1) / 2) / math.sqrt(math.pi)
        assert w @ x**m == pytest.approx(exact, rel=1e-10)


def test_a_kink_on_an_axis_costs_nothing():
    z, w = rules.two_sided_product(2, 6)
    assert w @ np.abs(z[:, 0]) == pytest.approx(math.sqrt(2.0 / math.pi), rel=1e-12)
    assert w @ (np.abs(z[:, 0]) * z[:, 1] ** 2) == pytest.approx(math.sqrt(2.0 / math.pi))
    assert w @ z == pytest.approx([0.0, 0.0], abs=1e-14)
