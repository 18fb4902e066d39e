"""Every activation and target, in every description: each held against another."""

import itertools
import math

import numpy as np
import pytest

import meanfield as mf


def bent(x):
    return np.tanh(x + 0.5) + 0.1 * x


ACTIVATIONS = {
    name: name
    for name in (
        "erf", "relu", "leaky_relu", "square", "hermite3", "tanh", "sigmoid", "softplus", "gelu",
        "sine",
    )
} | {"own": mf.activations.custom(bent, strip=1.5)}  # fmt: skip
TARGETS = {
    "committee": mf.CommitteeTarget(
        k=2, activation="erf", gram=[[1.0, 0.3], [0.3, 1.2]], weights=[1.0, -0.5]
    ),
    "staircase": mf.targets.staircase(2),
    "function": mf.MultiIndexTarget(lambda z: np.tanh(z[:, 0] - z[:, 1]) * z[:, 0], k=2),
}


# every activation with a committee, every target with two activations
SOME = [(name, "committee") for name in ACTIVATIONS]
SOME += [("gelu", "staircase"), ("own", "staircase"), ("tanh", "function")]
# under a target without a series, the mean field of these is quadrature that takes seconds
SLOW = [(name, "function") for name in ("tanh", "softplus", "own")]
ALL = [pair for pair in itertools.product(ACTIVATIONS, TARGETS) if pair not in SLOW]


def some_neurons(k, n=3, seed=0):
    rng = np.random.default_rng(seed)
    return mf.ParticleMeasure(
        rng.choice([-1.0, 1.0], n) * rng.uniform(0.5, 1.5, n),
        0.5 * rng.normal(size=(n, k)),
        rng.uniform(0.5, 1.2, n),
    )


def both_signs(measure, problem):
    """The network that the law is at D = 1: each neuron with its part outside of either sign."""
    u, a = np.tile(measure.u, (2, 1)), np.tile(measure.a, 2)
    r = np.concatenate((measure.r, -measure.r))
    P = np.asarray(problem.target.gram)
    return mf.Overlaps(u @ u.T + np.outer(r, r), u @ problem.target.basis.T, P, a)


@pytest.mark.slow
@pytest.mark.parametrize(("activation", "target"), ALL)
def test_mean_field_in_one_more_dimension_is_a_network_of_twice_the_width(activation, target):
    """At D = 1 the direction outside is ±1, so the law of n neurons is a network of 2n: exactly.

    The two may differ by what the field states as its error, and no more.
    """
    target = TARGETS[target]
    problem = mf.Problem(target, ACTIVATIONS[activation], target.k + 1, second_layer_rate=0.5)
    law = some_neurons(target.rank)
    network = both_signs(law, problem)
    stated = mf.solve_mean_field(problem, law, 1e-9, save_at=2).stats["field_error"]
    tolerance = 3 * stated + 1e-8
    risk = mf.population_risk(problem, network)
    assert mf.population_risk(problem, law) == pytest.approx(risk, rel=tolerance)
    one, two = mf.mean_field_velocity(problem, law), mf.overlap_velocity(problem, network)
    n, size = law.n, np.sqrt((one.u**2).sum(axis=1).mean())
    dM = one.u @ target.basis.T
    assert np.abs(two.M[:n] - dM).max() < tolerance * size
    dq = 2 * (law.u * one.u).sum(1) + 2 * law.r * one.r
    assert np.abs(np.diag(two.Q)[:n] - dq).max() < tolerance * size
    assert np.abs(two.a[:n] - one.a).max() < tolerance * np.sqrt(target.second_moment())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "target"), [pair for pair in SOME if "function" not in pair]
)
def test_wide_networks_approach_the_law(activation, target):
    """At d = ∞, m orthogonal copies of each neuron: overlaps differ from the law's by c/m."""
    problem = mf.Problem(TARGETS[target], ACTIVATIONS[activation])
    law = some_neurons(problem.subspace_dim, seed=1)
    limit = mf.solve_mean_field(problem, law, 0.3, save_at=2).final.u
    gaps = []
    for m in (4, 8):
        wide = mf.solve_overlaps(problem, law.overlaps(problem, m * law.n), 0.3, save_at=2).final
        gaps.append(np.linalg.norm(wide.measure().u[::m] - limit))
    assert gaps[0] / gaps[1] == pytest.approx(2.0, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "activation", "target"),
    [("law", *pair) for pair in SOME]
    + [("weights", "tanh", "committee"), ("weights", "own", "function")],
)
def test_a_step_of_sgd_is_on_average_the_overlap_equations(activation, target, kind):
    """Means over many single steps of dM, dQ and da, with the γ/p term; d = 300."""
    d, gamma, runs = 300, 1.0, 3000
    problem = mf.Problem(TARGETS[target], ACTIVATIONS[activation], d, gamma, second_layer_rate=0.5)
    start = some_neurons(problem.subspace_dim, seed=2).overlaps(problem)
    p = start.p
    if kind == "weights":
        runs, start = runs // 3, start.weights(problem)
    step = gamma / (p * d)
    sol = mf.simulate_sgd(problem, start, 1.5 * step, runs=runs, seed=3, save_at=[0.0, step],
                          keep="overlaps")  # fmt: skip
    overlaps = start.overlaps() if kind == "weights" else start
    velocity = mf.overlap_velocity(problem, overlaps)
    for name, expected in (("M", velocity.M), ("Q", velocity.Q), ("a", velocity.a)):
        moved = (sol.states.varying[name][:, 1] - getattr(overlaps, name)) / step
        error = moved.std(axis=0) / math.sqrt(runs)
        finite = 0.03 * np.abs(expected).max()  # O((p + k)/d) in the γ/p term
        assert (np.abs(moved.mean(axis=0) - expected) < 5 * error + finite).all(), name
