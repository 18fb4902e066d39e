"""A target of a class that the library has never seen runs through everything."""

import math

import numpy as np
import pytest

import meanfield as mf
from meanfield.problem import problem_from_parameters
from meanfield.studies.plain_values import build_problem, describe_problem


def label(z):
    return z[:, 0] + z[:, 0] * z[:, 1]


class Steps:
    """z_1 + z_1 z_2, which the library has as a staircase; it has what a `Target` must have."""

    k = rank = 2
    basis = gram = np.eye(2)
    smooth = True

    def __init__(self, noise=0.0):
        self.noise = noise

    def __call__(self, z):
        return label(z.reshape(-1, 2)).reshape(z.shape[:-1])

    def second_moment(self):
        return 2.0

    def second_moment_error(self):
        return 0.0

    def parameters(self):
        return {"kind": f"{__name__}:Steps", "noise": self.noise}

    def labels(self):
        return mf.targets.compiled_labels(label, 2)

    def __eq__(self, other):
        return isinstance(other, Steps) and self.noise == other.noise

    def __hash__(self):
        return hash(self.noise)


def both(activation="erf", dim=30, **options):
    return [mf.Problem(t, activation, dim, **options) for t in (Steps(), mf.targets.staircase(2))]


def close(one, other, tolerance):
    assert one.success and other.success
    np.testing.assert_allclose(one.risk, other.risk, rtol=0, atol=tolerance)


def test_its_coefficients_and_its_potential():
    found = mf.targets.hermite_coefficients(Steps(), 3)
    assert found[1, 0][0] == pytest.approx(1.0) and found[1, 1][0] == pytest.approx(1.0)
    assert mf.targets.leap_index(Steps()) == 1
    u, r = np.array([[0.3, -0.8], [1.0, 0.5]]), np.array([0.5, 0.0])
    for problem, exact in [both(name) for name in ("erf", "relu")]:
        potentials = (p.target for p in (problem, exact))
        values = (mf.targets.potential_of(t, problem.student)(u, r) for t in potentials)
        for one, other in zip(*values, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-8)


def test_the_mean_field_and_the_projection():
    own, exact = both()
    start = mf.gaussian_measure(own, 6, seed=1)
    runs = [mf.solve_mean_field(p, start, 0.3, save_at=2) for p in (own, exact)]
    close(*runs, 1e-7)
    one, other = (
        mf.projection.concentration(r.final, p) for r, p in zip(runs, both(), strict=True)
    )
    assert one.energy == pytest.approx(other.energy, abs=1e-7)
    first = runs[0].final
    found = [mf.projection.subspace(first, p, method="residual").spectrum for p in (own, exact)]
    np.testing.assert_allclose(*found, rtol=0, atol=1e-7)


def test_overlaps_sgd_and_a_file(tmp_path):
    own, exact = both(learning_rate=0.3)
    start = mf.gaussian_overlaps(own, 2, seed=1)
    close(*(mf.solve_overlaps(p, start, 0.2, save_at=2, sgd_noise=False) for p in both()), 1e-9)
    runs = [mf.simulate_sgd(p, start, 0.2, save_at=2, seed=3) for p in (own, exact)]
    close(*runs, 1e-9)
    assert mf.load(runs[0].save(tmp_path / "run.npz")).problem == own
    plain = describe_problem(own)
    assert build_problem(plain) == problem_from_parameters(own.parameters()) == own


def test_a_study():
    studies = [
        mf.concentration_study(p.target, [10, math.inf], n=8, t_end=0.2, replicas=1) for p in both()
    ]
    one, other = (study.curves["energy"] for study in studies)
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-7)


def test_what_a_target_must_have_is_named():
    class Half:
        k = rank = 1

    with pytest.raises(TypeError, match="got Half without basis, gram, noise"):
        mf.Problem(Half())
    parameters = {**both()[0].parameters(), "target": {"kind": "subprocess:Popen", "args": "true"}}
    for build in (problem_from_parameters, build_problem):
        with pytest.raises(ValueError, match="must be a class with what"):
            build(parameters)


def test_sgd_asks_for_labels(monkeypatch):
    monkeypatch.delattr(Steps, "labels")
    problem = both(learning_rate=0.3)[0]
    with pytest.raises(ValueError, match="labels"):
        mf.simulate_sgd(problem, mf.gaussian_overlaps(problem, 2), 0.1)
