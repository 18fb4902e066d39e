"""Projection of weights, overlaps and measures: one number for one thing, against sampling."""

import math

import numpy as np
import pytest
from scipy.linalg import subspace_angles
from scipy.stats import beta, norm

import meanfield as mf
from meanfield import projection
from meanfield.projection import neurons as neurons_room
from tests.fields.cases import make_measure, make_problem
from tests.reference import mean_field as twin


def network(problem, p=24, seed=1, pull=0.7):
    """Weights that have partly turned to the target, with a second layer of unequal entries."""
    start = mf.gaussian_weights(problem, p, seed=seed)
    turned = start.W + pull * start.W_star[np.arange(p) % len(start.W_star)]
    return mf.Weights(turned, start.W_star, np.linspace(0.3, 1.2, p))


def sampled_f(weights, sigma, x):
    lam = x @ weights.W.T / math.sqrt(weights.dim)
    return twin.SIGMA[sigma](lam) @ weights.a / len(weights.a)


@pytest.mark.parametrize("sigma", ["erf", "relu", "square"])
def test_weights_overlaps_and_measure_agree(sigma):
    problem = make_problem(sigma, k=2, D=40)
    weights = network(problem)
    overlaps = weights.overlaps()
    one, two = (projection.concentration(state, problem) for state in (weights, overlaps))
    law = projection.concentration(overlaps.measure(), problem)
    np.testing.assert_allclose(one.alignment, two.alignment, atol=1e-12)
    np.testing.assert_allclose(one.alignment, law.alignment, atol=1e-12)
    assert one.energy == pytest.approx(two.energy, rel=1e-12)
    assert one.energy == pytest.approx(law.energy, rel=1e-12)
    for name in ("leak", "leak_variance", "function_energy"):
        assert getattr(one, name) == pytest.approx(getattr(two, name), rel=1e-9)
    angles = np.linspace(0, math.pi / 2, 7)
    np.testing.assert_array_equal(one.mass_within(angles), law.mass_within(angles))
    p1, p2 = (projection.perpendicular_overlaps(state, problem) for state in (weights, overlaps))
    assert (p1.rms, p1.mean) == pytest.approx((p2.rms, p2.mean), rel=1e-9)
    np.testing.assert_allclose(
        projection.principal_angles(weights, problem),
        projection.principal_angles(overlaps, problem), atol=1e-7,
    )  # fmt: skip


@pytest.mark.parametrize("sigma", ["erf", "relu"])
def test_leak_of_a_network_against_sampling(sigma):
    """Var(f | z) from two draws of the other coordinates at the same z."""
    problem = make_problem(sigma, k=2, D=6)
    weights = network(problem, p=5)
    rng = np.random.default_rng(2)
    first, second = rng.standard_normal((2, 400_000, weights.dim))
    second[:, :2] = first[:, :2]  # the principal coordinates come first
    f, g = (sampled_f(weights, sigma, x) for x in (first, second))
    c = projection.concentration(weights, problem)
    for draws, exact in ((0.5 * (f - g) ** 2, c.leak_variance), (f**2, c.function_energy)):
        assert abs(draws.mean() - exact) < 4 * draws.std() / math.sqrt(len(draws))
        assert draws.std() / math.sqrt(len(draws)) < 0.02 * exact
    assert c.leak == c.leak_variance / c.function_energy


def test_many_neurons_in_random_directions_leak_like_their_law():
    """At p neurons the leak exceeds that of the law by the own variances, (1/p²) Σ a² Var."""
    problem = make_problem("erf", k=1, D=200)
    p = 800
    rng = np.random.default_rng(3)
    start = mf.gaussian_weights(problem, p, seed=4)
    weights = mf.Weights(start.W + rng.uniform(0, 2, (p, 1)) * start.W_star, start.W_star, start.a)
    network_, law = (
        projection.concentration(state, problem)
        for state in (weights, weights.overlaps().measure())
    )
    alone = [
        projection.concentration(
            mf.Weights(weights.W[i : i + 1], weights.W_star, weights.a[i : i + 1]), problem
        ).leak_variance
        for i in range(0, p, 8)
    ]
    expected = law.leak_variance + np.mean(alone) / p
    assert network_.leak_variance == pytest.approx(expected, rel=0.1)
    assert network_.leak_variance > 1.5 * law.leak_variance


def test_blocks_of_rows_change_nothing(monkeypatch):
    problem = make_problem("erf", k=2, D=30)
    weights = network(problem, p=25)
    whole = (
        projection.concentration(weights, problem),
        projection.perpendicular_overlaps(weights, problem),
    )
    monkeypatch.setattr(neurons_room, "BLOCK_PAIRS", 60)
    parts = (
        projection.concentration(weights, problem),
        projection.perpendicular_overlaps(weights, problem),
    )
    assert parts[0].leak_variance == pytest.approx(whole[0].leak_variance, rel=1e-12)
    assert parts[1].rms == pytest.approx(whole[1].rms, rel=1e-12)
    np.testing.assert_allclose(parts[1].masses, whole[1].masses, atol=1e-12)


def test_perpendicular_overlaps_are_those_of_the_pairs():
    problem = make_problem("erf", k=2, D=30)
    weights = network(problem, p=60)
    rest = weights.W[:, 2:]
    pairs = (rest @ rest.T / weights.dim)[np.triu_indices(60, 1)]
    law = projection.perpendicular_overlaps(weights, problem)
    assert law.mean == pytest.approx(pairs.mean(), rel=1e-10)
    assert law.rms == pytest.approx(math.sqrt((pairs**2).mean()), rel=1e-10)
    assert law.masses.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(law.edges[[0, -1]], np.abs(pairs).max() * np.array([-1, 1]))
    observe = projection.observables(problem)["perpendicular"]
    assert observe(0.0, weights) == pytest.approx(law.rms, rel=1e-12)
    assert (law.density * np.diff(law.edges)).sum() == pytest.approx(1.0)
    bin_width = law.edges[1] - law.edges[0]
    shares = np.array([0.05, 0.5, 0.95])
    values = np.quantile(pairs, shares, method="inverted_cdf")
    np.testing.assert_allclose(law.quantile(shares), values, atol=2 * bin_width)
    assert isinstance(law.quantile(0.5), float)


@pytest.mark.parametrize("D", [1, 2, 9, 400])
def test_the_law_of_perpendicular_overlaps(D):
    """r = 2 for all: 4 Z, with (1 + Z)/2 of the Beta law; D = 1 is ±4."""
    problem = make_problem("erf", k=1, D=D)
    law = projection.perpendicular_overlaps(
        mf.ParticleMeasure(np.ones(7), np.zeros(7), np.full(7, 2.0)), problem
    )
    assert law.rms == pytest.approx(4 / math.sqrt(D), rel=1e-12)
    assert law.masses.sum() == pytest.approx(1.0)
    middle = 0.5 * (law.edges[1:] + law.edges[:-1])
    assert law.masses @ middle**2 == pytest.approx(16 / D, rel=5e-3)
    if D > 1:
        expected = 4 * (2 * beta.ppf(0.9, (D - 1) / 2, (D - 1) / 2) - 1)
        assert law.quantile(0.9) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("mass", [None, [0.25, 0.75]])
def test_lengths_of_a_law_count_by_their_masses(mass):
    """Products of two independent lengths, 3 and 1: E (r r' Z)² = (E r²)²/D."""
    problem = make_problem("erf", k=1, D=9)
    m = mf.ParticleMeasure(np.ones(2), np.zeros(2), [3.0, 1.0], mass=mass)
    law = projection.perpendicular_overlaps(m, problem)
    mean_square = float(m.masses @ m.r**2)
    assert law.rms == pytest.approx(mean_square / 3, rel=1e-12)
    middle = 0.5 * (law.edges[1:] + law.edges[:-1])
    assert law.masses @ middle**2 == pytest.approx(mean_square**2 / 9, rel=2e-3)
    assert law.edges[-1] == 9.0


def test_perpendicular_overlaps_of_drawn_weights_follow_the_law():
    problem = make_problem("erf", k=2, D=50)
    weights = mf.gaussian_weights(problem, 400, seed=5)
    drawn = projection.perpendicular_overlaps(weights, problem)
    law = projection.perpendicular_overlaps(weights.overlaps().measure(), problem)
    assert drawn.rms == pytest.approx(law.rms, rel=0.02)
    np.testing.assert_allclose(
        drawn.quantile([0.05, 0.25, 0.75, 0.95]), law.quantile([0.05, 0.25, 0.75, 0.95]), atol=0.005
    )


def second_moment(law):
    return (
        law.masses @ (law.edges[1:] ** 2 + law.edges[1:] * law.edges[:-1] + law.edges[:-1] ** 2) / 3
    )


@pytest.mark.parametrize("D", [3, 30])
@pytest.mark.parametrize("tail", [0.7, 1.2])
def test_the_histogram_holds_its_own_root_mean_square(D, tail):
    """Lengths with a tail r^−1/tail, as a law and as the pairs of a network."""
    problem = make_problem("erf", k=1, D=D)
    r = np.random.default_rng(0).uniform(size=20_000) ** -tail
    law = projection.perpendicular_overlaps(
        mf.ParticleMeasure(np.ones(len(r)), np.zeros(len(r)), r), problem
    )
    assert law.rms == pytest.approx((r**2).mean() / math.sqrt(D), rel=1e-9)
    assert math.sqrt(second_moment(law)) == pytest.approx(law.rms, rel=0.01)
    assert law.masses.sum() == pytest.approx(1.0)
    weights = mf.ParticleMeasure(np.ones(300), np.zeros(300), r[:300]).weights(problem)
    drawn = projection.perpendicular_overlaps(weights, problem)
    assert math.sqrt(second_moment(drawn)) == pytest.approx(drawn.rms, rel=0.02)
    first, second = np.random.default_rng(1).choice(r, (2, 200_000))
    Z = 2 * np.random.default_rng(2).beta((D - 1) / 2, (D - 1) / 2, 200_000) - 1
    for share in (0.75, 0.95, 0.999):
        expected = np.quantile(first * second * Z, share)
        assert law.quantile(share) == pytest.approx(expected, rel=0.15)


def test_in_infinite_dimension_directions_are_orthogonal():
    problem = make_problem("erf", k=1, D=math.inf)
    law = projection.perpendicular_overlaps(make_measure(1, n=20), problem)
    assert (law.rms, law.mean, law.quantile(0.9)) == (0.0, 0.0, 0.0)
    orthogonal = mf.gaussian_overlaps(problem, 4)
    assert projection.perpendicular_overlaps(orthogonal, problem).rms == 0.0
    with pytest.raises(ValueError, match="two neurons"):
        projection.perpendicular_overlaps(mf.gaussian_overlaps(problem, 1), problem)


@pytest.mark.parametrize("method", ["weights", "gradients"])
@pytest.mark.parametrize("sigma", ["erf", "relu", "square"])
def test_the_learnt_subspace(sigma, method):
    """Second moments by hand, from the rows and from sampled gradients; angles by SciPy."""
    problem = make_problem(sigma, k=2, D=8)
    weights = network(problem, p=12)
    X = weights.W / math.sqrt(weights.dim)
    if method == "weights":
        moment, slack = (X.T * weights.a**2) @ X / 12, 1e-12
    else:
        x = np.random.default_rng(6).standard_normal((200_000, weights.dim))
        slopes = problem.student.derivative(x @ X.T)
        gradients = slopes * weights.a / 12 @ X
        moment, slack = gradients.T @ gradients / len(x), 0.02
    values, vectors = np.linalg.eigh(moment)
    found = projection.subspace(weights, problem, method=method)
    np.testing.assert_allclose(found.spectrum[:3], values[::-1][:3], rtol=slack)
    np.testing.assert_allclose(found.basis.T @ found.basis, np.eye(2), atol=1e-8)
    truth = subspace_angles(found.basis, weights.W_star.T)
    np.testing.assert_allclose(found.angles, truth, atol=1e-7)
    np.testing.assert_allclose(
        found.angles, subspace_angles(vectors[:, -2:], weights.W_star.T), atol=max(slack, 1e-7)
    )
    more = projection.subspace(weights, problem, method=method, directions=4)
    assert more.angles.shape == (2,) and (more.angles <= found.angles + 1e-12).all()
    same = projection.subspace(weights.overlaps(), problem, method=method)
    np.testing.assert_allclose(same.angles, found.angles, atol=1e-6)
    assert same.basis is None


RESIDUALS = {
    "relu": mf.CommitteeTarget(k=2, activation="relu", gram=[[1.0, 0.3], [0.3, 0.8]]),
    "product": mf.MultiIndexTarget(lambda z: z[:, 0] * z[:, 1] + 0.5 * z[:, 0], k=2),
    "square": mf.CommitteeTarget(k=2, activation="square"),
}


@pytest.mark.parametrize("name", RESIDUALS)
def test_the_residual_shows_the_subspace(name):
    """Both moments of the residual against the input by sampling; angles by SciPy."""
    problem = mf.Problem(RESIDUALS[name], activation="relu", dim=8)
    weights = network(problem, p=5, pull=0.0)
    x = np.random.default_rng(12).standard_normal((400_000, 8))
    residual = problem.target(x[:, :2]) - sampled_f(weights, "relu", x)
    first = residual @ x / len(x)
    second = (x.T * residual) @ x / len(x) - residual.mean() * np.eye(8)
    values, vectors = np.linalg.eigh(np.outer(first, first) + second @ second)
    found = projection.subspace(weights, problem, method="residual")
    np.testing.assert_allclose(found.spectrum[:2], values[::-1][:2], rtol=0.03, atol=1e-3)
    np.testing.assert_allclose(found.basis.T @ found.basis, np.eye(2), atol=1e-8)
    truth = subspace_angles(found.basis, weights.W_star.T)
    np.testing.assert_allclose(found.angles, truth, atol=1e-6)
    assert subspace_angles(found.basis, vectors[:, -2:]).max() < 0.1
    same = projection.subspace(weights.overlaps(), problem, method="residual")
    np.testing.assert_allclose(same.spectrum, found.spectrum, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(same.angles, found.angles, atol=1e-6)


def test_at_the_start_only_the_residual_knows_the_target():
    problem = mf.Problem(mf.targets.parity(2), activation="relu", dim=1000)
    start = mf.gaussian_weights(problem, 20, seed=13)
    quiet = mf.Weights(start.W, start.W_star, 0.1 * start.a)
    angles = {
        method: projection.subspace(quiet, problem, method=method).angles.max()
        for method in ("weights", "gradients", "residual")
    }
    assert angles["residual"] < 0.1 < 1.2 < min(angles["weights"], angles["gradients"])
    blind = mf.Problem(mf.targets.parity(3), activation="relu", dim=1000)
    unseen = projection.subspace(
        mf.gaussian_weights(blind, 20, seed=13), blind, method="residual", directions=3
    )
    assert unseen.angles.max() > 1.2  # no component of degree 1 or 2


@pytest.mark.parametrize("D", [20, math.inf])
def test_the_residual_of_a_law_is_that_of_a_wide_network(D):
    problem = mf.Problem(RESIDUALS["relu"], activation="relu", dim=D + 2)
    law = mf.gaussian_measure(problem, 300, seed=14)
    law = mf.ParticleMeasure(law.a, law.u + 0.5, law.r)
    found = projection.subspace(law, problem, method="residual", directions=3)
    if D == 20:
        wide = projection.subspace(law.overlaps(problem, seed=1), problem, method="residual")
        np.testing.assert_allclose(found.spectrum[:2], wide.spectrum[:2], rtol=0.05)
        q = (law.u**2).sum(axis=1) + law.r**2
        outside = float((law.r**2 / np.sqrt(2 * math.pi * q)).mean()) / 20  # E δ(λ) is 1/√(2πq)
        assert found.spectrum[2] == pytest.approx(outside**2, rel=1e-9)
    else:
        assert found.spectrum[2] == 0.0
    assert (found.angles == 0.0).all()


def test_small_angles_keep_their_digits():
    problem = make_problem("erf", k=2, D=8)
    start = mf.gaussian_weights(problem, 6, seed=7)
    mixed = np.random.default_rng(8).standard_normal((6, 2)) @ start.W_star
    tilted = mf.Weights(mixed + 1e-8 * start.W, start.W_star, start.a)
    found = projection.principal_angles(tilted, problem)
    _, _, right = np.linalg.svd(tilted.W, full_matrices=False)
    np.testing.assert_allclose(found, subspace_angles(right[:2].T, start.W_star.T), rtol=1e-3)
    assert found.max() < 1e-7


@pytest.mark.parametrize("method", ["weights", "gradients"])
@pytest.mark.parametrize("D", [9, math.inf])
def test_the_subspace_of_a_law_is_found_or_missed(method, D):
    problem = make_problem("erf", k=2, D=D)
    near = mf.ParticleMeasure(np.ones(50), make_measure(2, n=50, seed=9).u, np.full(50, 0.1))
    found = projection.subspace(near, problem, method=method)
    assert (found.angles == 0.0).all()
    assert found.basis is None
    more = projection.subspace(near, problem, method=method, directions=5)
    assert (more.angles == 0.0).all() and more.angles.shape == (2,)
    if method == "weights":
        far = mf.ParticleMeasure(near.a, 1e-3 * near.u, np.full(50, 3.0))
        missed = projection.subspace(far, problem, method=method).angles
        assert (missed == (math.pi / 2 if D == 9 else 0.0)).all()


def test_second_moments_of_a_law_by_hand():
    """Neurons count by their mass and by a², whatever its sign."""
    problem, m = make_problem("erf", k=2, D=7), make_measure(2, n=6, seed=15)
    a, mass = np.array([-2.0, 0.5, 1.0, -1.0, 3.0, 0.1]), np.arange(1, 7) / 21
    found = projection.subspace(mf.ParticleMeasure(a, m.u, m.r, mass), problem, directions=3)
    block = sum(w * x * x * np.outer(u, u) for w, x, u in zip(mass, a, m.u, strict=True))
    outside = (mass * a**2 * m.r**2).sum() / 7
    expected = np.sort([*np.linalg.eigvalsh(block), *[outside] * 3])[::-1]
    np.testing.assert_allclose(found.spectrum, expected, rtol=1e-12)


@pytest.mark.parametrize("D", [3, math.inf])
def test_gradients_of_a_law_against_sampling(D):
    """∂f/∂z and ∂f/∂ρ at drawn inputs, averaged over the direction outside."""
    problem, m = make_problem("erf", k=1, D=D), make_measure(1, n=4, seed=16)
    a, mass = np.array([-2.0, 0.5, 1.0, 3.0]), np.array([0.1, 0.2, 0.3, 0.4])
    law = mf.ParticleMeasure(a, m.u, m.r, mass)
    found = projection.subspace(law, problem, method="gradients", directions=2)
    rng = np.random.default_rng(17)
    z = rng.standard_normal(10_000)
    finite = math.isfinite(D)
    rho = np.linalg.norm(rng.standard_normal((len(z), 3)), axis=1) if finite else np.ones(len(z))
    # one coordinate of a uniform point of the sphere in three dimensions is uniform
    shares = (np.arange(200) + 0.5) / 200
    U = 2.0 * shares - 1.0 if finite else norm.ppf(shares)
    along, outside = np.zeros(len(z)), np.zeros(len(z))
    for w, x, u, r in zip(mass, a, m.u[:, 0], m.r, strict=True):
        slopes = problem.student.derivative((u * z)[:, None] + r * np.outer(rho, U))
        along += w * x * u * slopes.mean(axis=1)
        outside += w * x * r * (slopes * U).mean(axis=1)
    assert found.spectrum[0] == pytest.approx((along**2).mean(), rel=0.03)
    rest = (outside**2).mean() / D if finite else 0.0
    assert found.spectrum[1] == pytest.approx(rest, rel=0.03, abs=1e-12)
    assert found.angles[0] == 0.0 and found.angles.shape == (1,)


@pytest.mark.parametrize("D", [5, 300])
def test_gradients_of_a_law_are_those_of_a_wide_network(D):
    problem = make_problem("erf", k=1, D=D)
    p = 400
    start = mf.gaussian_weights(problem, p, seed=10)
    turned = mf.Weights(start.W + start.W_star, start.W_star, start.a)
    law = projection.subspace(turned.overlaps().measure(), problem, method="gradients")
    wide = projection.subspace(turned, problem, method="gradients")
    assert law.spectrum[0] == pytest.approx(wide.spectrum[0], rel=0.05)
    if D == 5:  # the others: E |∇_⊥ f|²/D each, and what p neurons have beyond it
        assert law.spectrum[1] == pytest.approx(wide.spectrum[1:].mean(), abs=5e-3)


def test_curves_along_sgd_and_overlap_runs():
    problem = mf.Problem(mf.CommitteeTarget(k=2), dim=30, learning_rate=0.5)
    start = mf.gaussian_weights(problem, 4, seed=11)
    sgd = mf.simulate_sgd(problem, start, 0.5, runs=2, save_at=3)
    flow = mf.solve_overlaps(problem, start.overlaps(), 0.5, save_at=3)
    for run, shape in ((sgd, (2, 3)), (flow, (3,))):
        curves = projection.along(run, angles=(0.5, 1.0), fractions=(0.5,))
        assert curves.energy.shape == curves.leak.shape == curves.perpendicular.shape == shape
        assert curves.mass_within.shape == curves.principal_angles.shape == (*shape, 2)
        assert curves.angle_of.shape == (*shape, 1)
        state = run.states[1][2] if len(shape) == 2 else run.states[2]
        c = projection.concentration(state, problem)
        last = (1, 2) if len(shape) == 2 else (2,)
        assert curves.leak[last] == c.leak
        np.testing.assert_array_equal(curves.mass_within[last], c.mass_within([0.5, 1.0]))
        assert curves.angle_of[last][0] == c.angle_of(0.5)


def test_what_does_not_belong_is_refused():
    problem = make_problem("erf", k=2, D=8)
    weights = network(problem)
    for call in (projection.concentration, projection.perpendicular_overlaps, projection.subspace):
        with pytest.raises(TypeError, match="state"):
            call(3, problem)
        with pytest.raises(TypeError, match="problem"):
            call(weights, 3)
        for state in (weights, weights.overlaps()):
            with pytest.raises(ValueError, match="gram"):
                call(state, make_problem("erf", k=2, D=8, gram=np.eye(2)))
            with pytest.raises(ValueError, match="gram"):
                call(state, make_problem("erf", k=2, D=8, gram=1.001 * problem.target.gram))
    with pytest.raises(ValueError, match="method"):
        projection.subspace(weights, problem, method="magic")
    for state in (weights, make_measure(2, n=4)):
        with pytest.raises(ValueError, match="directions"):
            projection.subspace(state, problem, directions=30)
    with pytest.raises(ValueError, match="share"):
        projection.perpendicular_overlaps(weights, problem).quantile(1.5)
