"""The committee target: its value, its factor of the Gram matrix, its second moment."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf

import meanfield as mf
from meanfield.targets import target_from_parameters, triangular_factor


def random_gram(k, rank, seed, scale=1.0):
    root = np.random.default_rng(seed).normal(size=(k, rank)) * scale
    return root @ root.T


def plain_activation(name, x):
    return {"erf": erf(x / np.sqrt(2)), "relu": np.where(x > 0, x, 0.0), "square": x**2}[name]


@settings(deadline=None, max_examples=60)
@given(
    k=st.integers(1, 5),
    lost=st.integers(0, 4),
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
)
def test_factor_of_any_gram_matrix(k, lost, seed, scale):
    rank = max(1, k - lost)
    P = random_gram(k, rank, seed, scale)
    B = triangular_factor(P)
    assert B.shape == (k, rank)
    assert np.allclose(B @ B.T, P, rtol=0, atol=1e-11 * np.abs(P).max())
    above = np.triu_indices(k, 1, rank)
    assert np.abs(B[above]).max(initial=0.0) <= 1e-7 * np.abs(B).max()


def test_factor_is_cholesky_where_there_is_one():
    P = random_gram(4, 4, seed=1) + np.eye(4)
    assert np.allclose(triangular_factor(P), np.linalg.cholesky(P), rtol=1e-10, atol=1e-12)
    assert (triangular_factor(np.eye(3)) == np.eye(3)).all()


def test_singular_gram_lowers_the_rank():
    target = mf.CommitteeTarget(k=2, gram=[[1.0, 1.0], [1.0, 1.0]])
    assert target.rank == 1
    assert np.allclose(target.basis, [[1.0], [1.0]])


@pytest.mark.parametrize("activation", ["erf", "relu", "square"])
@pytest.mark.parametrize(("k", "rank"), [(1, 1), (2, 2), (3, 3), (3, 2)])
def test_value_is_the_mean_over_target_neurons(activation, k, rank):
    rng = np.random.default_rng(k)
    P, weights = random_gram(k, rank, seed=k), rng.normal(size=k)
    target = mf.CommitteeTarget(k=k, activation=activation, gram=P, weights=weights)
    z = rng.normal(size=(5, 4, rank))
    expected = np.zeros((5, 4))
    for r in range(k):
        local_field = sum(target.basis[r, j] * z[..., j] for j in range(rank))
        expected += weights[r] * plain_activation(activation, local_field) / k
    assert np.allclose(target(z), expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("activation", ["erf", "relu", "square"])
def test_second_moment_against_samples(activation):
    P, weights = random_gram(3, 3, seed=5), [1.0, -0.5, 2.0]
    target = mf.CommitteeTarget(k=3, activation=activation, gram=P, weights=weights)
    squares = target(np.random.default_rng(0).normal(size=(400_000, 3))) ** 2
    error = squares.std() / np.sqrt(squares.size)
    assert abs(squares.mean() - target.second_moment()) < 4 * error


def test_second_moment_in_closed_form():
    assert mf.CommitteeTarget(k=1).second_moment() == pytest.approx(1 / 3)  # (2/π) asin(1/2)
    assert mf.CommitteeTarget(k=1, activation="relu").second_moment() == pytest.approx(0.5)
    assert mf.CommitteeTarget(k=1, activation="square").second_moment() == pytest.approx(3.0)


def test_equality_hash_and_parameters():
    def build(**changes):
        arguments = {"k": 2, "activation": "relu", "gram": [[1, 0.5], [0.5, 2]], "noise": 0.1}
        return mf.CommitteeTarget(**(arguments | changes))

    target = build()
    assert target == build() and hash(target) == hash(build())
    assert target == target_from_parameters(target.parameters())
    for other in (
        build(activation="erf"), build(noise=0.2), build(weights=[1, 2]), build(gram=np.eye(2)),
    ):  # fmt: skip
        assert target != other
    assert target != "committee"
    minus_zero = build(gram=[[1.0, -0.0], [-0.0, 1.0]])
    assert minus_zero == build(gram=np.eye(2)) and hash(minus_zero) == hash(build(gram=np.eye(2)))


def test_unknown_kind_of_parameters_is_refused():
    with pytest.raises(ValueError, match="'forest'"):
        target_from_parameters({"kind": "forest"})


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"k": 0}, ValueError, "k must be an integer of at least 1, got 0"),
        ({"k": -1}, ValueError, "k must be"),
        ({"k": 2.0}, TypeError, "k must be an integer"),
        (
            {"activation": "softmax"},
            ValueError,
            "activation must be one of 'erf', 'relu', 'square'",
        ),
        ({"activation": None}, TypeError, "activation must be one of"),
        (
            {"gram": np.eye(3)},
            ValueError,
            r"gram must have shape \(k, k\) = \(2, 2\), got \(3, 3\)",
        ),
        ({"gram": [1.0, 2.0]}, ValueError, "gram must have shape"),
        ({"gram": [[1.0, np.nan], [np.nan, 1.0]]}, ValueError, "gram must be finite"),
        ({"gram": [[1.0, 0.5], [0.4, 1.0]]}, ValueError, "gram must be symmetric"),
        ({"gram": [[1.0, 2.0], [2.0, 1.0]]}, ValueError, "gram must be positive semi-definite"),
        ({"gram": -np.eye(2)}, ValueError, "gram must be positive semi-definite"),
        ({"gram": np.zeros((2, 2))}, ValueError, "gram must not be zero"),
        ({"gram": "identity"}, TypeError, "gram must be an array"),
        ({"weights": [1.0]}, ValueError, r"weights must have shape \(k,\) = \(2,\)"),
        ({"weights": [1.0, np.inf]}, ValueError, "weights must be finite"),
        ({"noise": -0.1}, ValueError, "noise must be at least 0"),
        ({"noise": np.nan}, ValueError, "noise must be finite"),
        ({"noise": "loud"}, TypeError, "noise must be a real number"),
    ],
)
def test_bad_input_names_the_argument(arguments, error, match):
    with pytest.raises(error, match=match):
        mf.CommitteeTarget(**({"k": 2} | arguments))
