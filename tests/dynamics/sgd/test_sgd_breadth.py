"""SGD for every activation and target, with decay and temperature: twins, laws, and limits."""

import math
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

import meanfield as mf
from meanfield.activations import custom, get_activation
from meanfield.activations.library import ACTIVATIONS
from meanfield.activations.own import compiled_unit
from meanfield.dynamics.sgd.runs import LawRuns, WeightsRuns, make_step, make_streams, second_layer
from meanfield.kernels.activations.units import activate, call_vector
from meanfield.kernels.dynamics.sgd import law as sgd_law
from meanfield.kernels.dynamics.sgd import random as sgd_random
from meanfield.kernels.options import serial
from tests.dynamics.sgd.test_sgd import all_overlaps, discrepancy, make_start, stream
from tests.reference import sgd as twin


def swish(x):
    return x / (1.0 + np.exp(-x))


def swish_slope(x):
    s = 1.0 / (1.0 + np.exp(-x))
    return s * (1.0 + x * (1.0 - s))


def bent(x):
    return np.where(x > 1.0, 2.0 * x - 1.0, x)


def wavy(z):
    return np.sin(z[:, 0]) + z[:, 0] * np.tanh(z[:, 1])


OWN = custom(swish, strip=3.0)
GIVEN = custom(swish, swish_slope, strip=3.0)


def crooked(x):
    if x > 1.0:
        return 2.0 * x - 1.0
    return x


BENT = custom(bent, kinks=(1.0,))
STUDENTS = (
    "tanh", "sigmoid", "softplus", "gelu", "sine", "leaky_relu(0.3)", "hermite3", OWN, GIVEN, BENT,
    custom(crooked, kinks=(1.0,)),
)  # fmt: skip
WAVY = mf.MultiIndexTarget(wavy, 2, noise=0.2)
STAIRCASE = mf.targets.staircase(2, noise=0.2)
COMMITTEE = mf.CommitteeTarget(2, "tanh", [[1.0, 0.3], [0.3, 0.8]], [1.0, -0.7], noise=0.2)


@serial
def unit_at(unit, x):
    return activate(unit, x)


@serial
def label_at(address, z):
    return call_vector(address, z)


def test_kernels_are_compiled_once_for_targets_of_every_kind():
    """They would be anew for a* that may be written to."""
    kinds = {numba.typeof(second_layer(mf.Problem(t, dim=9))) for t in (WAVY, STAIRCASE, COMMITTEE)}
    assert len(kinds) == 1


@pytest.mark.parametrize("given", dict.fromkeys([*STUDENTS, *ACTIVATIONS, "hermite1"]), ids=str)
def test_compiled_units_are_the_activations(given):
    sigma = get_activation(given)
    unit = compiled_unit(sigma)
    for x in (-30.0, -3.1, -1.0, -1e-3, 0.7, 2.5, 30.0):
        value, slope = unit_at(unit, x)
        assert value == pytest.approx(float(sigma(np.array([x]))[0]), rel=1e-12, abs=1e-13)
        wanted = float(sigma.derivative(np.array([x]))[0])
        assert slope == pytest.approx(wanted, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("target", [WAVY, STAIRCASE, mf.targets.hermite_link([0.3, 1.0, 0, 2.0])])
def test_compiled_labels_are_the_targets(target):
    address = target.labels()
    for z in np.random.default_rng(0).standard_normal((5, target.k)):
        assert label_at(address, z) == pytest.approx(float(target(z)), rel=1e-13)


@pytest.mark.parametrize("target", [COMMITTEE, WAVY, STAIRCASE], ids=lambda t: t.title)
@pytest.mark.parametrize("student", STUDENTS, ids=str)
@pytest.mark.parametrize(("batch", "spherical"), [(1, False), (2, True)])
def test_three_steps_in_r_d_are_the_twins(student, target, batch, spherical):
    d, p = 20, 3
    problem = mf.Problem(target, student, d, 0.8, 2.0, weight_decay=5.0, second_layer_decay=3.0)
    start = make_start(problem, p)
    run = WeightsRuns(
        problem, start, make_step(problem, p, batch, spherical), make_streams(7, 1), "Weights"
    )
    W, a = run.W[0].copy(), start.a
    s = stream(make_streams(7, 1)[0])
    for _ in range(3):
        X, xi = np.empty(batch * d), np.empty(batch)
        s = sgd_random.fill_normals(stream(sgd_random.fill_normals(stream(s), X)), xi)
        W, a = twin.step(problem, W, start.W_star, a, X.reshape(batch, d), xi, spherical=spherical)
    run.advance(3)
    fields, risk = run.record()
    np.testing.assert_allclose(fields["W"][0], W, rtol=0, atol=1e-9 * np.abs(W).max())
    np.testing.assert_allclose(fields["a"][0], a, rtol=1e-9)
    wanted = mf.population_risk(problem, mf.Weights(W, start.W_star, a).overlaps())
    assert risk[0] == pytest.approx(wanted, rel=1e-7)


@pytest.mark.parametrize("target", [COMMITTEE, WAVY], ids=lambda t: t.title)
@pytest.mark.parametrize("student", ["tanh", OWN], ids=str)
@pytest.mark.parametrize("batch", [1, 3])
def test_three_steps_of_the_chain_are_the_twins(student, target, batch):
    p, k, d = 3, 2, 12
    problem = mf.Problem(target, student, d, 0.8, 1.0, weight_decay=2.0, second_layer_decay=3.0)
    start = make_start(problem, p).overlaps()
    run = LawRuns(problem, start, make_step(problem, p, batch, False), make_streams(8, 1))
    s, a = stream(make_streams(8, 1)[0]), start.a
    for _ in range(3):
        extra = min(batch, d - k - p)
        Z, H, xi = np.zeros((batch, k)), np.zeros((batch, p + extra)), np.empty(batch)
        s = sgd_law.draw_batch(stream(s), p, float(d - k - p), Z, H)
        s = sgd_random.fill_normals(stream(s), xi)
        W = np.concatenate((run.u[0], run.T[0, :p].T, np.zeros((p, extra))), axis=1)
        W_star = np.concatenate((target.basis, np.zeros((k, p + extra))), axis=1)
        X, root = np.concatenate((Z, H), axis=1), math.sqrt(d)
        W, a = twin.step(problem, root * W, root * W_star, a, X, xi, norm=d)
        run.advance(1)
        fields = run.record()[0]
        np.testing.assert_allclose(fields["Q"][0], W @ W.T / d, rtol=0, atol=1e-9)
        np.testing.assert_allclose(fields["M"][0], W @ W_star.T / root, rtol=0, atol=1e-9)
        np.testing.assert_allclose(fields["a"][0], a, rtol=1e-9)


@pytest.mark.parametrize(
    ("dim", "batch", "spherical", "student", "target"),
    [
        (20, 1, False, "tanh", WAVY),
        (6, 2, False, OWN, COMMITTEE),  # fewer directions left over than neurons
        (20, 1, True, "gelu", STAIRCASE),
        (5, 1, True, "tanh", COMMITTEE),  # none left over
    ],
)
def test_the_two_simulators_agree_in_law_at_a_temperature(dim, batch, spherical, student, target):
    problem = mf.Problem(
        target, student, dim, 1.5, 1.0, weight_decay=0.5, second_layer_decay=0.5, temperature=0.02
    )
    start = make_start(problem)
    options = {"runs": 800, "batch_size": batch, "spherical": spherical, "save_at": [1.0]}
    real = mf.simulate_sgd(problem, start, 1.0, seed=1, keep="overlaps", **options)
    law = mf.simulate_sgd(problem, start.overlaps(), 1.0, seed=2, **options)
    assert real.parameters["description"] != law.parameters["description"]
    x, y = all_overlaps(real), all_overlaps(law)
    varies = x.std(0) > 1e-8
    mean, covariance = discrepancy(x[:, varies], y[:, varies])
    assert mean < 4.2 and covariance < 4.6


@pytest.mark.parametrize("kind", ["weights", "overlaps"])
def test_without_a_second_layer_weights_are_ornstein_uhlenbeck(kind):
    decay, heat, d, t = 0.7, 0.02, 20, 1.0
    problem = mf.Problem(
        mf.CommitteeTarget(k=2), "tanh", d, 0.2, weight_decay=decay, temperature=heat
    )
    weights = make_start(problem)
    weights = mf.Weights(weights.W, weights.W_star, np.zeros(3))
    start = weights if kind == "weights" else weights.overlaps()
    sol = mf.simulate_sgd(problem, start, t, runs=1500, save_at=[t], keep="overlaps")
    steps, dt = sol.stats["steps"], sol.stats["step_time"]
    left = (1 - decay * dt) ** steps
    gained = 2 * heat * dt * d * (1 - left**2) / (1 - (1 - decay * dt) ** 2)
    before = weights.overlaps()
    for name, expected in (
        ("Q", left**2 * before.Q + gained * np.eye(3)), ("M", left * before.M),
    ):  # fmt: skip
        found = sol.states.varying[name][:, -1]
        error = found.std(axis=0) / math.sqrt(len(found))
        assert (np.abs(found.mean(axis=0) - expected) < 4.2 * error).all()


@pytest.mark.parametrize(
    ("student", "target"),
    [
        ("tanh", mf.targets.staircase(2)),
        ("gelu", mf.CommitteeTarget(2, "gelu")),
        (OWN, WAVY),
        ("tanh", mf.MultiIndexTarget(lambda z: z[:, 0] + z[:, 0] * z[:, 1], 2)),
    ],
)
def test_runs_of_sgd_follow_the_overlap_equations(student, target):
    """With decay, heat and both layers, at γ/p = 1/2 and d = 1000, within O(1/√runs + 1/d)."""
    problem = mf.Problem(
        target, student, 1000, 1.0, 1.0, weight_decay=0.2, second_layer_decay=0.1,
        temperature=1e-4,
    )  # fmt: skip
    start = make_start(problem, 2).overlaps()
    sol = mf.simulate_sgd(problem, start, 2.0, runs=24, save_at=[2.0], seed=3)
    final = mf.solve_overlaps(problem, start, 2.0, samples=4096).final
    cold = mf.Problem(target, student, 1000, 1.0, 1.0)
    plain = mf.solve_overlaps(cold, start, 2.0, samples=4096).final
    for name in ("Q", "M", "a"):
        found = sol.states.varying[name][:, -1]
        error = found.std(axis=0, ddof=1) / math.sqrt(len(found))
        gap = np.abs(found.mean(axis=0) - getattr(final, name))
        assert (gap < 4.5 * error + 0.01).all()
    assert np.abs(plain.Q - final.Q).max() > 0.05  # decay and heat are seen


@pytest.mark.parametrize("kind", ["weights", "overlaps"])
def test_numbers_do_not_depend_on_threads_runs_or_calls(kind):
    problem = mf.Problem(WAVY, OWN, 30, 0.8, 1.0, weight_decay=0.3, temperature=0.01)
    start = make_start(problem)
    start = start if kind == "weights" else start.overlaps()
    options = {"seed": 9, "batch_size": 2, "save_at": [0.0, 0.5, 1.0]}
    one = mf.simulate_sgd(problem, start, 1.0, runs=4, threads=1, **options)
    two = mf.simulate_sgd(problem, start, 1.0, runs=4, threads=2, **options)
    assert one == two and one.success
    fewer = mf.simulate_sgd(problem, start, 1.0, runs=2, **options)
    assert np.array_equal(fewer.risk, one.risk[:2])
    alone = mf.simulate_sgd(problem, start, 1.0, runs=1, seed=9, batch_size=2, save_at=[0.5])
    assert np.array_equal(alone.risk[0], one.risk[0, 1:2])


@pytest.mark.slow
def test_kernels_come_from_the_cache_whatever_the_function():
    """A user's function is data to the simulator: a second one compiles no kernel again."""
    code = (
        "import numpy as np, meanfield as mf\n"
        "from meanfield.kernels.dynamics.sgd.law import advance_law\n"
        "for shift in (0.0, 1.0):\n"
        "    problem = mf.Problem(mf.CommitteeTarget(k=1), lambda x: np.tanh(x + shift), 30, 0.5)\n"
        "    mf.simulate_sgd(problem, mf.gaussian_overlaps(problem, 2), 0.5)\n"
        "kernel = advance_law.__wrapped__\n"
        "print(sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values()),"
        " len(kernel.signatures))"
    )
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=30, learning_rate=0.5)
    mf.simulate_sgd(problem, mf.gaussian_overlaps(problem, 2), 0.5)  # fills the cache
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[3],
    ).stdout.split()  # fmt: skip
    assert output == ["1", "0", "1"]


@pytest.mark.parametrize(
    ("problem", "match"),
    [
        (
            mf.Problem(mf.MultiIndexTarget(lambda z: np.prod(z, axis=1), 2), dim=20,
                       learning_rate=1.0),
            "target '<lambda>' .* needs it compiled, but numba refused",
        ),
        (
            mf.Problem(mf.CommitteeTarget(k=2), lambda x: np.float64(x**2).astype("f8"), 20, 1.0),
            "activation '<lambda>'",
        ),
        (
            mf.Problem(mf.CommitteeTarget(k=2), dim=20, learning_rate=1.0, weight_decay=60.0),
            "weight_decay below 60",
        ),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused_with_the_reason(problem, match):
    with pytest.raises(ValueError, match=match):
        mf.simulate_sgd(problem, make_start(mf.Problem(mf.CommitteeTarget(k=2), dim=20)), 1.0)
