"""Two targets in the directions of both are the same two functions of the input."""

import numpy as np
import pytest

import meanfield as mf
from meanfield.targets.build import target_from_parameters

together = mf.targets.together


def bent(z):
    return np.tanh(z[:, 0]) * z[:, 1]


PAIRS = {
    "committees": (
        mf.CommitteeTarget(2, "erf", [[1.0, 0.3], [0.3, 1.0]], [1.0, -2.0], 0.1),
        mf.CommitteeTarget(1, "relu"), None,
    ),
    "similar": (mf.CommitteeTarget(1), mf.CommitteeTarget(2, noise=0.2), [[0.5, -0.2]]),
    "equal": (mf.CommitteeTarget(1), mf.CommitteeTarget(1), [[1.0]]),
    "polynomials": (mf.targets.staircase(2), mf.targets.hermite_link(3), None),
    "mixed": (mf.CommitteeTarget(1), mf.targets.parity(2), None),
    "own": (mf.MultiIndexTarget(bent, 2), mf.targets.parity(2), None),
}  # fmt: skip


@pytest.mark.parametrize("case", PAIRS)
def test_functions_of_the_input_stay_what_they_are(case):
    """f* of inputs along directions with the stated overlaps, from each target as given."""
    first, second, overlap = PAIRS[case]
    one, two = together(first, second, overlap)
    assert one.k == two.k == first.k + second.k
    np.testing.assert_array_equal(one.gram, two.gram)
    np.testing.assert_allclose(one.gram[: first.k, : first.k], first.gram)
    np.testing.assert_allclose(one.gram[first.k :, first.k :], second.gram)
    C = np.zeros((first.k, second.k)) if overlap is None else np.array(overlap)
    np.testing.assert_allclose(one.gram[: first.k, first.k :], C)
    z = np.random.default_rng(1).standard_normal((50, one.rank))
    pre = z @ one.basis.T  # pre-activations of all directions
    for joint, alone, part in (
        (one, first, pre[:, : first.k]), (two, second, pre[:, first.k :]),
    ):  # fmt: skip
        mine = np.linalg.lstsq(alone.basis, part.T, rcond=None)[0].T
        np.testing.assert_allclose(joint(z), alone(mine), rtol=1e-10, atol=1e-12)
        close = 1e-4 if case == "own" else 1e-8  # as its quadrature is
        assert joint.second_moment() == pytest.approx(alone.second_moment(), rel=close)
        assert joint.noise == alone.noise
        assert target_from_parameters(joint.parameters()) == joint


def test_a_run_that_knows_nothing_of_the_second_task_is_that_of_the_first():
    first, second = PAIRS["similar"][:2]
    one, _ = together(first, second)
    risks = []
    for target in (first, one):
        problem = mf.Problem(target, dim=50, learning_rate=0.5)
        M = np.zeros((2, target.k))
        M[:, 0] = 0.3, -0.1
        start = mf.Overlaps([[1.0, 0.1], [0.1, 0.8]], M, target.gram, [1.0, 1.0])
        risks.append(mf.solve_overlaps(problem, start, 10.0, save_at=5, rtol=1e-9).risk)
    np.testing.assert_allclose(risks[1], risks[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: together(mf.CommitteeTarget(1), mf.CommitteeTarget(1), [[1.5]]), "overlap"),
        (lambda: together(mf.CommitteeTarget(1), mf.CommitteeTarget(2), [[0.5]]), "overlap"),
        (lambda: together(mf.targets.parity(2), mf.CommitteeTarget(1), [[0.5], [0.0]]), "first"),
        (lambda: together(mf.CommitteeTarget(1), "a task"), "second"),
    ],
)
def test_what_cannot_be_together_is_refused_by_name(call, word):
    with pytest.raises((TypeError, ValueError), match=word):
        call()
