"""The γ/p term of square students under any target: against moments, quadrature and sampling."""

import numpy as np
import pytest

import meanfield as mf
from meanfield.dynamics.overlaps.averages import OverlapAverages
from meanfield.dynamics.overlaps.noise import choose_noise, network_of
from meanfield.dynamics.overlaps.square_noise import SquareNoise, SquareStudentNoise
from meanfield.gaussian.rules import hermite_rule, product_rule, two_sided_product


def about(target, p=3):
    """A problem's form of the term, and a network of random weights."""
    problem = mf.Problem(target, "square", dim=20, learning_rate=1.0)
    start = mf.gaussian_overlaps(problem, p=p, seed=2)
    noise = choose_noise(OverlapAverages(problem), problem, p, True, "auto", None, 0)
    return noise, network_of(start, target)


@pytest.mark.parametrize("k", [1, 2])
def test_square_targets_have_moments_to_compare(k):
    target = mf.CommitteeTarget(k=k, activation="square")
    known, network = about(target, 5)
    assert isinstance(known, SquareNoise)
    found = SquareStudentNoise(target)
    found.label_noise = known.label_noise = 0.3
    assert found.term(network) == pytest.approx(known.term(network), rel=1e-11)


@pytest.mark.parametrize(
    "target",
    [
        mf.CommitteeTarget(k=2, activation="relu"),
        mf.CommitteeTarget(k=2, activation="erf"),
        mf.MultiIndexTarget(lambda z: z[:, 0] * z[:, 1] ** 2, k=2),
    ],
)
def test_agrees_with_quadrature(target):
    """Over z, and over what is left of two students, at every pair of nodes."""
    noise, network = about(target, 2)
    assert isinstance(noise, SquareStudentNoise)
    noise.label_noise = 0.2
    smooth = product_rule(*hermite_rule(40), 2)
    z, share = smooth if target.smooth else two_sided_product(2, 40)
    g, weight = product_rule(*hermite_rule(7), 2)
    rest = g @ np.linalg.cholesky(network.N).T
    lam = (z @ network.u.T)[:, None] + rest
    error = target(z)[:, None] - (lam**2 @ network.a) / 2.0
    joint = np.outer(share, weight) * (error**2 + 0.2)
    expected = 4.0 * np.einsum("sg,sgi,sgj->ij", joint, lam, lam)
    assert noise.term(network) == pytest.approx(expected, rel=1e-9)
    assert noise.error(network) < 1e-9


@pytest.mark.slow
def test_runs_say_that_it_is_closed():
    """With an error that is stated, and no kinks that would take steps."""
    problem = mf.Problem(mf.CommitteeTarget(k=1), "square", dim=50, learning_rate=0.3)
    run = mf.solve_overlaps(problem, mf.gaussian_overlaps(problem, p=3), 1.0, save_at=3)
    assert run.success
    assert run.stats["noise_method"] == "closed"
    assert run.stats["noise_error"] < 1e-9
