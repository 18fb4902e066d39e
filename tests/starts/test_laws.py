"""Measure, overlaps and weights of one start have one law; second layers have theirs."""

import math

import numpy as np
import pytest
from scipy import stats

import meanfield as mf
from meanfield.starts import SAMPLINGS

K2 = mf.CommitteeTarget(k=2, gram=[[1.0, 0.3], [0.3, 1.0]])
SINGULAR = mf.CommitteeTarget(k=2, gram=[[1.0, 1.0], [1.0, 1.0]])
MEASURES = {
    "gaussian": mf.gaussian_measure,
    "spherical": mf.spherical_measure,
    "aligned": lambda *args, **kw: mf.aligned_measure(*args, overlap=[0.3, 0.2], spread=0.1, **kw),
}
OVERLAPS = {
    "gaussian": mf.gaussian_overlaps,
    "spherical": mf.spherical_overlaps,
    "aligned": lambda *args, **kw: mf.aligned_overlaps(*args, overlap=[0.3, 0.2], spread=0.1, **kw),
}
WEIGHTS = {
    "gaussian": mf.gaussian_weights,
    "spherical": mf.spherical_weights,
    "aligned": lambda *args, **kw: mf.aligned_weights(*args, overlap=[0.3, 0.2], spread=0.1, **kw),
}
LAWS = list(MEASURES)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("dim", [3, 12])
def test_three_states_of_a_start_have_one_law(law, dim):
    """Kolmogorov–Smirnov on u and r, between all pairs of kinds."""
    problem, n = mf.Problem(K2, dim=dim), 1200
    networks = [OVERLAPS[law](problem, 6, seed=s).measure() for s in range(n // 6)]
    many = (np.concatenate([getattr(m, name) for m in networks]) for name in "aur")
    found = [
        MEASURES[law](problem, n, seed=1),
        WEIGHTS[law](problem, n, seed=2).measure(),
        mf.ParticleMeasure(*many),
    ]
    for one in range(3):
        for two in range(one):
            for values in ("u", "r"):
                x, y = (getattr(found[m], values).reshape(n, -1) for m in (one, two))
                for j in range(x.shape[1]):
                    if np.ptp(x[:, j]) > 1e-9:
                        assert stats.ks_2samp(x[:, j], y[:, j]).pvalue > 1e-4
                assert np.allclose(np.cov(x.T), np.cov(y.T), atol=0.2 * np.cov(x.T).max() + 1e-12)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("p", [3, 14])
def test_angles_of_overlaps_drawn_are_those_of_weights(law, p):
    """First two moments of all entries of Q, with fewer and more neurons than directions."""
    problem, draws = mf.Problem(K2, dim=9), 600
    drawn = np.array([OVERLAPS[law](problem, p, seed=s).Q for s in range(draws)])
    made = np.array([WEIGHTS[law](problem, p, seed=10**6 + s).overlaps().Q for s in range(draws)])
    for power in (1, 2):
        x, y = drawn**power, made**power
        error = np.sqrt((x.var(0) + y.var(0)) / draws) + 1e-9
        assert (np.abs(x.mean(0) - y.mean(0)) < 5 * error).all()


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("dim", [3, 50, math.inf])
def test_spherical_neurons_lie_on_the_sphere(dim, sampling):
    start = mf.spherical_measure(mf.Problem(K2, dim=dim), 64, 1.5, 0, sampling)
    assert (start.u**2).sum(1) + start.r**2 == pytest.approx(1.5**2, rel=1e-13)
    if sampling.startswith("antithetic"):
        assert abs(start.u.mean(axis=0)).max() < 1e-16
    if dim == 3:  # Archimedes: a coordinate of the 2-sphere is uniform
        assert stats.kstest(start.u[:, 0] / 1.5, "uniform", args=(-1, 2)).pvalue > 1e-3


def test_spherical_weights_and_overlaps_lie_on_the_sphere():
    problem = mf.Problem(K2, dim=11)
    assert (mf.spherical_weights(problem, 5, 2.0).W ** 2).sum(1) == pytest.approx(44.0, rel=1e-13)
    assert np.diag(mf.spherical_overlaps(problem, 5, 2.0).Q) == pytest.approx(4.0, rel=1e-13)
    limit = mf.spherical_overlaps(mf.Problem(K2), 5, 2.0)
    assert np.allclose(limit.Q, 4 * np.eye(5), rtol=1e-15) and not limit.M.any()


# --- second layers ---


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("law", LAWS)
def test_second_layer_laws(law, sampling):
    problem, n = mf.Problem(K2, dim=30), 2048
    draw = MEASURES[law]
    plain = draw(problem, n, seed=3, sampling=sampling)
    assert (plain.a == 1.0).all() and "second_layer" not in plain.origin
    assert (draw(problem, n, sampling=sampling, second_layer=-2).a == -2.0).all()
    signs = draw(problem, n, seed=3, sampling=sampling, second_layer="signs")
    assert set(signs.a) == {-1.0, 1.0} and abs(signs.a.mean()) < 0.1
    assert abs(np.corrcoef(signs.a, signs.u[:, 0])[0, 1]) < 0.1
    assert abs(np.corrcoef(signs.a, signs.u[:, 0] ** 2)[0, 1]) < 0.1
    gaussian = draw(problem, n, seed=3, sampling=sampling, second_layer="gaussian")
    assert stats.kstest(gaussian.a, "norm").pvalue > 1e-3
    assert gaussian.origin["second_layer"] == "gaussian"
    given = np.linspace(-1, 1, n)
    start = draw(problem, n, sampling=sampling, second_layer=given)
    assert (start.a == given).all() and start.origin["second_layer"] == "given"


@pytest.mark.parametrize("kind", [OVERLAPS, WEIGHTS], ids=["overlaps", "weights"])
@pytest.mark.parametrize("law", LAWS)
def test_second_layers_do_not_move_the_first(law, kind):
    problem = mf.Problem(K2, dim=30)
    plain = kind[law](problem, 200, seed=5)
    signs = kind[law](problem, 200, seed=5, second_layer="signs")
    gaussian = kind[law](problem, 200, seed=5, second_layer="gaussian")
    assert set(signs.a) == {-1.0, 1.0} and abs(signs.a.mean()) < 0.3
    assert stats.kstest(gaussian.a, "norm").pvalue > 1e-3
    if law != "aligned":
        same = "W" if kind is WEIGHTS else "Q"
        assert np.array_equal(getattr(plain, same), getattr(signs, same))


@pytest.mark.parametrize("kind", [MEASURES, OVERLAPS, WEIGHTS])
@pytest.mark.parametrize("law", LAWS)
def test_seed_fixes_a_start(law, kind):
    problem = mf.Problem(K2, dim=12)
    first, again, other = (
        kind[law](problem, 6, seed=s, second_layer="gaussian") for s in (0, 0, 1)
    )
    assert first == again and first != other
    assert first.origin["start"] == law and first.origin["seed"] == 0


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"second_layer": "ones"}, ValueError, "second_layer must be one of 'signs', 'gaussian'"),
        ({"second_layer": np.ones(3)}, ValueError, r"second_layer must have shape \(n,\) with n"),
        ({"second_layer": np.nan}, ValueError, "second_layer must be finite"),
        ({"second_layer": None}, TypeError, "second_layer must be a real number"),
        ({"seed": -1}, ValueError, "seed must be"),
        ({"scale": 0.0}, ValueError, "scale must be greater than 0"),
        ({"problem": None}, TypeError, "problem must be a Problem"),
    ],
)
@pytest.mark.parametrize("kind", [MEASURES, OVERLAPS, WEIGHTS])
@pytest.mark.parametrize("law", LAWS)
def test_all_starts_name_bad_input(law, kind, arguments, error, match):
    given = {"problem": mf.Problem(K2, dim=10)} | arguments
    with pytest.raises(error, match=match):
        kind[law](given.pop("problem"), 4, **given)


@pytest.mark.parametrize("kind", [MEASURES, OVERLAPS, WEIGHTS])
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("count", "error"), [(0, ValueError), (2.0, TypeError)])
def test_all_starts_name_a_bad_count(law, kind, count, error):
    name = "n" if kind is MEASURES else "p"
    with pytest.raises(error, match=f"{name} must be an integer"):
        kind[law](mf.Problem(K2, dim=10), count)


@pytest.mark.parametrize("law", LAWS)
def test_weights_want_a_finite_dimension(law):
    with pytest.raises(ValueError, match="problem must have a finite dim"):
        WEIGHTS[law](mf.Problem(K2), 4)
