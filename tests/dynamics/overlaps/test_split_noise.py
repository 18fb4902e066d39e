"""The sampled γ/p term of kinked students: against the closed form, quadrature, and in time."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr

import meanfield as mf
from meanfield.dynamics.overlaps.averages import OverlapAverages
from meanfield.dynamics.overlaps.flow import OverlapFlow
from meanfield.dynamics.overlaps.noise import choose_noise
from meanfield.dynamics.overlaps.split import Split, diagonal_part
from meanfield.dynamics.overlaps.split_noise import SplitNoise

LEAKY = mf.activations.leaky_relu(0.2)


def about(activation, link, p, Q=None, M=None, k=2, noise=0.1, samples=None):
    """Flow, network and the two forms of the term, of random weights or of given overlaps."""
    target = mf.CommitteeTarget(k=k, activation=link, noise=noise)
    problem = mf.Problem(target, activation, dim=100, learning_rate=1.0)
    start = mf.gaussian_overlaps(problem, p=p, seed=1)
    if Q is not None:
        start = mf.Overlaps(Q, M, target.gram, start.a)
    averages = OverlapAverages(problem)
    sampled, closed = (
        choose_noise(averages, problem, p, True, method, samples, 0)
        for method in ("sampled", "closed")
    )
    flow = OverlapFlow(problem, start, averages, sampled, False)
    closed.label_noise = sampled.label_noise
    return flow, flow.network(flow.read(flow.y0)), sampled, closed


@pytest.mark.parametrize(
    ("activation", "link", "p", "k"),
    [
        ("relu", "relu", 12, 2),
        (LEAKY, "erf", 6, 1),
        ("relu", "square", 4, 3),
        (LEAKY, LEAKY, 3, 4),
    ],
)
def test_agrees_with_the_closed_form(activation, link, p, k):
    """Within what it says of its error, which is small."""
    _, network, sampled, closed = about(activation, link, p, k=k)
    assert isinstance(sampled, SplitNoise)
    found, expected = sampled.term(network), closed.term(network)
    error, size = sampled.error(network), np.linalg.norm(expected)
    assert np.linalg.norm(found - expected) < 1.5 * error * size
    assert error < 8e-3


def test_pairs_of_large_correlations():
    """Some use the control variate in part, some not at all."""
    Q = np.array([[1.0, 0.4, 0.1], [0.4, 1.1, 0.75], [0.1, 0.75, 0.9]])
    M = np.array([[0.1, 0.2], [-0.1, 0.1], [0.0, -0.2]])
    _, network, sampled, closed = about("relu", "relu", 3, Q, M)
    use = Split.of(network).use
    assert use[1, 2] == 0.0
    assert 0.0 < use[0, 1] < 1.0
    assert use[0, 2] == 1.0
    found, expected = sampled.term(network), closed.term(network)
    error = sampled.error(network)
    assert np.linalg.norm(found - expected) < 1.5 * error * np.linalg.norm(expected)
    assert error < 8e-3


@pytest.mark.parametrize("free", [0.0, 0.003, 0.02, 0.1, 0.5])
def test_on_the_edge_of_the_cone(free):
    """Equal units, and units near the principal subspace, have few directions of their own."""
    M = np.array([[0.6, 0.2], [0.6, 0.2], [-0.3, 0.4]])
    Q = M @ M.T
    Q[:2, :2] += free
    Q[2, 2] += 0.6 * free
    _, network, sampled, closed = about("relu", "relu", 3, Q, M)
    found, expected = sampled.term(network), closed.term(network)
    error = sampled.error(network)
    assert np.linalg.norm(found - expected) < 2.0 * error * np.linalg.norm(expected)
    assert error < 0.03


def test_moments_of_one_unit():
    """Against quadrature with the kink known, for σ and for the control variate."""
    _, network, sampled, _ = about(LEAKY, "relu", 2)
    split = Split.of(network)
    centre, moved = np.array([[0.3, -0.2]]), np.array([[-0.5, 0.1]])
    y = (centre + moved) / split.sd
    above, density = ndtr(y), np.exp(-0.5 * y * y) / np.sqrt(2.0 * np.pi)
    own = sampled._own(centre + moved, above, density, split.sd)
    line = sampled._line(centre, moved, y, above, density, split)

    def mean(f, centre, deviation):
        """⟨f(λ)⟩ for a Gaussian λ, f with a kink at 0."""
        weighed = lambda x: f(centre + deviation * x) * np.exp(-0.5 * x * x)  # noqa: E731
        kink = -centre / deviation
        parts = [quad(weighed, *ends, epsabs=1e-12)[0] for ends in ((-9, kink), (kink, 9))]
        return sum(parts) / np.sqrt(2.0 * np.pi)

    def slope(x):
        return 1.0 if x > 0.0 else 0.2

    for i in range(2):
        m, w = centre[0, i], centre[0, i] + moved[0, i]
        value = mean(lambda x: x * slope(x), m, split.deviation[i])
        bent = mean(slope, m, split.deviation[i])
        for moments, g in (
            (own, lambda x: x * slope(x)),
            (line, lambda x, value=value, bent=bent, m=m: value + bent * (x - m)),
        ):
            found = [part[0, i] for part in moments]
            middle = mean(g, w, split.sd[i])
            assert found[0] == pytest.approx(middle, rel=1e-9)
            powers = ((0, 2), (1, 1), (1, 2), (2, 1), (2, 2))
            for part, (a, b) in zip(found[1:], powers, strict=True):

                def product(x, g=g, middle=middle, a=a, b=b):
                    return slope(x) ** a * (g(x) - middle) ** b

                assert part == pytest.approx(mean(product, w, split.sd[i]), rel=1e-8)


def test_the_term_is_smooth_in_time():
    """No point of the sample makes a jump where a neuron's sign changes."""
    flow, _, sampled, _ = about("relu", "relu", 8, samples=1024)
    v = np.random.default_rng(0).standard_normal(flow.y0.shape)
    steps = 1e-4 * np.arange(20)
    path = [sampled.term(flow.network(flow.read(flow.y0 + h * v))) for h in steps]
    change = np.diff(path, axis=0)
    bend = np.abs(np.diff(change, axis=0)).max()
    assert bend < 0.02 * np.abs(change).max()


def test_the_diagonal_part():
    rng = np.random.default_rng(0)
    W = rng.standard_normal((5, 9))
    N = W @ W.T
    D = diagonal_part(N)
    assert (D > 0.0).all()
    least = np.linalg.eigvalsh(N - np.diag(D))[0]
    assert 0.0 < least < np.linalg.eigvalsh(N)[0]
    assert not diagonal_part(np.ones((3, 3))).any()
