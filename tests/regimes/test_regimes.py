"""Diagnosis, comparison, phase diagram; the sizes predicted are the sizes measured."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

import meanfield as mf
from meanfield.integrate import Status
from meanfield.regimes import compare, comparison, diagnose, four_regimes, phase_diagram
from meanfield.regimes.comparison import SETTINGS
from meanfield.regimes.descriptions import TITLES
from meanfield.regimes.distances import order_parameters
from meanfield.starts import gaussian_overlaps
from meanfield.studies.power_laws import fit_rate

pytestmark = pytest.mark.usefixtures("interrupted_results")

TARGET = mf.CommitteeTarget(k=1)


def problem_of(dim=100, rate=0.4, target=TARGET):
    return mf.Problem(target, dim=dim, learning_rate=rate)


def slope_interval(x, y, relative_error):
    """Slope of log y in log x and the half-width of its 95 % interval, from known errors of y."""
    weights = 1.0 / np.asarray(relative_error)
    design = np.column_stack((np.ones(len(x)), np.log(x))) * weights[:, None]
    covariance = np.linalg.inv(design.T @ design)
    slope = (covariance @ design.T @ (np.log(y) * weights))[1]
    return slope, 1.96 * math.sqrt(covariance[1, 1])


# --- diagnosis ---


def test_numbers():
    diagnosis = diagnose(problem_of(dim=1000, rate=2.0), width=4)
    assert diagnosis.noise_term == 0.5
    assert diagnosis.step == 0.0005
    assert diagnosis.fluctuation == pytest.approx(math.sqrt(0.0005))
    assert (diagnosis.inverse_width, diagnosis.inverse_dim) == (0.25, 0.001)
    assert diagnosis.holding == ("sgd", "overlap_ode")
    sizes = {part.formula: part.size for part in diagnosis["mean_field_infinite"].neglects}
    assert sizes == {
        "√(γ/(p d))": pytest.approx(math.sqrt(0.0005)),
        "γ/p": 0.5,
        "1/p": 0.25,
        "1/√p": 0.5,
        "1/d": 0.001,
    }


def test_each_description_neglects_more_than_the_one_before():
    for dim, width, rate in itertools.product((10, 1000), (1, 50), (0.01, 1.0, 30.0)):
        sizes = [one.size for one in diagnose(problem_of(dim, rate), width).descriptions]
        assert sizes == sorted(sizes)


def test_infinite_dimension_and_gradient_flow():
    diagnosis = diagnose(problem_of(dim=math.inf, rate=1.0), width=400)
    assert diagnosis.fluctuation == diagnosis.inverse_dim == 0.0
    assert not diagnosis["sgd"].exists
    assert diagnosis.holding == tuple(name for name in TITLES if name != "sgd")
    diagnosis = diagnose(problem_of(rate=0.0), width=5)
    assert not diagnosis["sgd"].exists
    assert diagnosis["gradient_flow"].size == 0.0
    assert diagnosis.regime == "classical"


def test_label_noise_enlarges_the_sgd_term():
    noisy = mf.CommitteeTarget(k=1, noise=9.0)
    plain, loud = (diagnose(problem_of(target=t), width=10) for t in (TARGET, noisy))
    assert loud["gradient_flow"].neglects[0].size == pytest.approx(
        max(9 * plain.noise_term, 3 * plain.fluctuation)
    )
    assert "Δ" in str(loud) and "Δ" not in str(plain)


def test_tolerance_decides():
    problem = problem_of(rate=0.4)
    assert "mean_field" not in diagnose(problem, 10).holding
    assert "mean_field" in diagnose(problem, 10, tolerance=0.4).holding


def test_the_table_has_a_line_for_each_description():
    for problem in (problem_of(), problem_of(dim=math.inf), problem_of(rate=0.0)):
        text = str(diagnose(problem, width=4))
        assert all(title in text for title in TITLES.values())
        assert max(map(len, text.splitlines())) < 130
    assert "diverge" in str(diagnose(problem_of(rate=10.0), width=4))


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        (("no problem", 4), TypeError, "problem"),
        ((problem_of(), 0), ValueError, "width"),
        ((problem_of(), 2.5), TypeError, "width"),
    ],
)
def test_diagnose_names_what_is_wrong(arguments, error, name):
    with pytest.raises(error, match=name):
        diagnose(*arguments)
    with pytest.raises(ValueError, match="tolerance"):
        diagnose(problem_of(), 4, tolerance=0.0)
    with pytest.raises(ValueError, match="name"):
        diagnose(problem_of(), 4)["sdg"]


# --- comparison ---


def test_all_descriptions_share_start_and_times():
    result = compare(problem_of(), 4, 1.0, runs=3, save_at=6)
    assert list(result.solutions) == list(TITLES)
    times = [solution.t for solution in result.solutions.values()]
    assert all(np.array_equal(times[0], t) for t in times)
    first = [order_parameters(solution)[0] for solution in result.solutions.values()]
    for one in first[1:]:
        np.testing.assert_allclose(one, first[0], atol=1e-12)
    assert result.status is Status.SUCCESS
    assert len(result.distances()) == 10


def test_distances_are_those_of_the_curves():
    result = compare(problem_of(), 4, 1.0, runs=3, save_at=6)
    sgd, ode = result.solutions["sgd"], result.solutions["overlap_ode"]
    gap = np.abs(sgd.risk.mean(axis=0) - ode.risk)
    distance = result.distance("sgd", "overlap_ode")
    assert distance.largest == gap.max()
    assert distance.at == sgd.t[gap.argmax()]
    assert distance.rms == pytest.approx(np.sqrt((gap**2).mean()))
    assert distance.error == pytest.approx(sgd.risk[:, gap.argmax()].std(ddof=1) / math.sqrt(3))
    Q = np.diagonal(sgd.states.varying["Q"], axis1=-2, axis2=-1).mean(0)
    Q -= np.diagonal(ode.states.varying["Q"], axis1=-2, axis2=-1)
    M = sgd.states.varying["M"].mean(0) - ode.states.varying["M"]
    expected = np.sqrt((np.concatenate((M, Q[..., None]), -1) ** 2).mean(axis=(1, 2))).max()
    assert distance.overlaps == pytest.approx(expected)
    assert "SGD" in str(result) and "at t =" in str(result)


def test_in_weights_and_in_law_start_alike():
    inside = compare(problem_of(dim=30), 3, 0.5, runs=2, save_at=3, in_weights=True)
    in_law = compare(problem_of(dim=30), 3, 0.5, runs=2, save_at=3)
    assert isinstance(inside.start, mf.Weights)
    assert isinstance(in_law.start, mf.Overlaps)
    assert inside.start.overlaps() == in_law.start
    np.testing.assert_array_equal(
        inside.solutions["overlap_ode"].risk, in_law.solutions["overlap_ode"].risk
    )


def test_what_does_not_exist_is_left_out():
    flow = compare(problem_of(rate=0.0), 4, 0.5, save_at=2)
    assert list(flow.solutions) == ["gradient_flow", "mean_field", "mean_field_infinite"]
    infinite = compare(problem_of(dim=math.inf), 4, 0.5, save_at=2)
    assert list(infinite.solutions) == ["overlap_ode", "gradient_flow", "mean_field_infinite"]
    with pytest.raises(ValueError, match=r"descriptions.*finite d"):
        compare(problem_of(dim=math.inf), 4, 0.5, descriptions=["sgd"])


def test_huge_dimensions_need_no_weights():
    result = compare(
        problem_of(dim=10**8, rate=1.0), 4, 1.0, descriptions=["mean_field", "overlap_ode"]
    )
    assert list(result.solutions) == ["overlap_ode", "mean_field"]


def test_particles_of_the_law_have_other_neurons():
    result = compare(
        problem_of(), 4, 0.5, descriptions=["overlap_ode", "mean_field"], particles=64, save_at=2
    )
    assert result.solutions["mean_field"].final.n == 64
    assert math.isnan(result.distance("overlap_ode", "mean_field").overlaps)


def test_interrupt_keeps_what_was_computed(monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(comparison, "solve_mean_field", interrupted)
        result = compare(problem_of(), 4, 0.5, runs=2, save_at=3)
    assert list(result.solutions) == ["sgd", "overlap_ode", "gradient_flow"]
    assert result.status is Status.INTERRUPTED

    solve = comparison.solve_overlaps

    def cut_short(*args, **kwargs):
        whole = solve(*args, **kwargs)
        return dataclasses.replace(
            whole, t=whole.t[:2], risk=whole.risk[:2], status=Status.INTERRUPTED, message="cut"
        )

    monkeypatch.setattr(comparison, "solve_overlaps", cut_short)
    result = compare(problem_of(), 4, 0.5, runs=2, save_at=5)
    assert list(result.solutions) == ["sgd", "overlap_ode"]
    assert result.status is Status.INTERRUPTED
    assert result.distance("sgd", "overlap_ode").largest >= 0.0
    assert "cut" in str(result)
    assert list(four_regimes(TARGET, t_end=0.5, times=3, runs=1)) == ["classical"]


def test_a_band_is_refused_before_anything_runs(monkeypatch):
    monkeypatch.setattr(comparison, "solve_mean_field", None)
    with pytest.raises(ValueError, match="finite dim"):
        compare(problem_of(dim=math.inf), 4, 0.5, save_at=2, band=True)
    with pytest.raises(ValueError, match="learning_rate above 0"):
        compare(problem_of(rate=0.0), 4, 0.5, save_at=2, band=True)


def test_a_band_that_is_inaccurate_reaches_the_status(monkeypatch):
    solve = comparison.solve_fluctuations

    def poor(*args, **kwargs):
        whole = solve(*args, **kwargs)
        return dataclasses.replace(whole, status=Status.INACCURATE, message="poor covariances")

    monkeypatch.setattr(comparison, "solve_fluctuations", poor)
    result = compare(problem_of(), 2, 0.5, runs=2, save_at=3, band=True)
    assert list(result.solutions)[:2] == ["sgd", "overlap_ode"]
    assert result.status is Status.INACCURATE
    assert "band: inaccurate, poor covariances" in str(result)
    without = compare(problem_of(), 2, 0.5, runs=2, save_at=3)
    assert without.band is None and without.status is Status.SUCCESS
    with pytest.raises(ValueError, match="band=True"):
        without.inside_band()


@pytest.mark.parametrize(
    ("options", "error", "name"),
    [
        ({"descriptions": ["sde"]}, ValueError, "descriptions"),
        ({"descriptions": "sgd"}, TypeError, "descriptions"),
        ({"descriptions": []}, ValueError, "descriptions"),
        ({"runs": 0}, ValueError, "runs"),
        ({"seed": -1}, ValueError, "seed"),
        ({"save_at": [2.0]}, ValueError, "save_at"),
        ({"particles": 0}, ValueError, "particles"),
        ({"start": "here"}, TypeError, "start"),
        ({"in_weights": 1}, TypeError, "in_weights"),
        ({"band": 1}, TypeError, "band"),
        ({"start": mf.gaussian_weights(problem_of(), 5)}, ValueError, "start"),
        ({"rtol": 0.0}, ValueError, "rtol"),
    ],
)
def test_compare_names_what_is_wrong(options, error, name):
    with pytest.raises(error, match=name):
        compare(problem_of(), 4, 1.0, **options)


def test_overlaps_drawn_without_weights_have_their_law():
    problem = mf.Problem(mf.CommitteeTarget(k=2, gram=[[1.0, 0.5], [0.5, 1.0]]), dim=12)
    draws = 3000
    drawn = [gaussian_overlaps(problem, 3, 0.7, seed) for seed in range(draws)]
    made = [mf.gaussian_weights(problem, 3, 0.7, seed).overlaps() for seed in range(draws)]
    for name in ("Q", "M"):
        one, two = (np.array([getattr(o, name) for o in many]) for many in (drawn, made))
        for power in (1, 2):
            x, y = one**power, two**power
            error = np.sqrt((x.var(0) + y.var(0)) / draws)
            assert (np.abs(x.mean(0) - y.mean(0)) < 4.5 * error).all()


def test_settings_are_in_the_regimes_they_are_named_for():
    for name, (dim, width, rate) in SETTINGS.items():
        assert diagnose(problem_of(dim, rate), width).regime == name


# --- phase diagram ---


def test_regions_cover_the_plane_once():
    diagram = phase_diagram()
    for kappa, delta in itertools.product(np.linspace(0, 2, 9), np.linspace(-3, 2, 41)):
        found = diagram.phase(kappa, delta)
        s = kappa + delta
        assert found.lower <= s + 1e-9 and s - 1e-9 <= found.upper
    names = [diagram.phase(0.25, delta).name for delta in (0.0, -0.25, -0.5, -0.75, -1.0)]
    assert names == ["perfect learning", "plateau", "bad learning", "no ODE", "no ODE"]
    assert all(one.name in str(diagram) for one in diagram.phases)


def test_exponents_are_those_of_the_diagnosis():
    kappa, delta = 0.3, -0.1
    dims = (10**4, 10**8)
    sizes = [
        diagnose(problem_of(d, d**-delta), round(d**kappa)) for d in dims
    ]  # rounding the width costs 2 % at most
    powers = phase_diagram().exponents(kappa, delta)
    grown = math.log(dims[1] / dims[0])
    assert math.log(sizes[1].noise_term / sizes[0].noise_term) / grown == pytest.approx(
        powers["noise_term"], abs=0.01
    )
    assert math.log(sizes[1].fluctuation / sizes[0].fluctuation) / grown == pytest.approx(
        powers["fluctuation"], abs=0.01
    )
    below = phase_diagram().exponents(0.0, -0.25)
    assert below["samples"] == 0.5 and below["fluctuation"] == -0.25
    assert phase_diagram().exponents(0.0, -0.5)["fluctuation"] == 0.0


def test_a_run_has_a_place():
    point = phase_diagram().locate(problem_of(dim=100, rate=0.1), 10)
    assert point == pytest.approx((0.5, 0.5))
    with pytest.raises(ValueError, match="problem"):
        phase_diagram().locate(problem_of(dim=math.inf), 10)
    with pytest.raises(ValueError, match="problem"):
        phase_diagram().locate(problem_of(rate=0.0), 10)
    with pytest.raises(ValueError, match="kappa"):
        phase_diagram().phase(-0.1, 0.0)
    with pytest.raises(ValueError, match="delta"):
        phase_diagram().phase(0.1, math.inf)


# --- the sizes predicted, measured ---


@pytest.mark.slow
def test_fluctuations_of_sgd_are_of_the_size_predicted():
    """Spread of SGD over runs from one start against √(γ/(p d)): slope 1."""
    p, runs, dims = 3, 800, (32, 64, 128, 256, 512, 1024, 2048)
    start = gaussian_overlaps(problem_of(400, 1.5), p, seed=1)
    predicted, spread = [], {"risk": [], "M": [], "Q": []}
    for d in dims:
        problem = problem_of(d, 1.5)
        result = compare(
            problem, p, 1.5, start=start, runs=runs, seed=d, save_at=[1.5],
            descriptions=["sgd", "overlap_ode"],
        )  # fmt: skip
        sgd, ode = result.solutions["sgd"], result.solutions["overlap_ode"]
        predicted.append(result.diagnosis.fluctuation)
        about = ode.states[-1]
        spread["risk"].append(np.sqrt(((sgd.risk[:, -1] - ode.risk[-1]) ** 2).mean()))
        for name in ("M", "Q"):
            gap = sgd.states.varying[name][:, -1] - getattr(about, name)
            spread[name].append(np.sqrt((gap**2).mean()))
    for values in spread.values():
        slope, half = slope_interval(predicted, values, np.full(len(dims), 1 / np.sqrt(2 * runs)))
        assert half < 0.04
        assert abs(slope - 1.0) < max(2 * half, 0.03)
        assert 0.01 < values[-1] / predicted[-1] < 1.0  # the factor of order one


def test_the_sgd_term_is_of_the_size_predicted():
    """Distance of gradient flow from the overlap ODE against γ/p: slope 1."""
    rates = np.array([0.01, 0.02, 0.04, 0.08])
    start = gaussian_overlaps(problem_of(math.inf), 4)
    gaps = [
        compare(
            problem_of(math.inf, rate), 4, 2.0, start=start, rtol=1e-9,
            descriptions=["overlap_ode", "gradient_flow"],
        ).distance("overlap_ode", "gradient_flow").largest
        for rate in rates
    ]  # fmt: skip
    slopes = np.diff(np.log(gaps)) / np.diff(np.log(rates / 4))
    np.testing.assert_allclose(slopes, 1.0, atol=0.02)


@pytest.mark.slow
def test_finite_width_is_of_the_size_predicted():
    """Against the law of the start at infinite width: a bias 1/p and a spread 1/√p over starts."""
    t_end, draws, d = 1.0, 500, 10
    widths = np.array([8, 16, 32, 64, 128])
    problem = problem_of(d, 0.0)
    law = mf.gaussian_measure(problem, 4096, sampling="antithetic-sobol")
    limit = mf.solve_mean_field(problem, law, t_end, save_at=[t_end]).risk[-1]
    bias, bias_error, spread = [], [], []
    for p in widths:
        risk, means = np.empty(draws), np.empty((draws, 3))
        for seed in range(draws):
            start = mf.gaussian_weights(problem, int(p), seed=seed).overlaps()
            run = mf.solve_overlaps(problem, start, t_end, save_at=[t_end], rtol=1e-5)
            risk[seed] = run.risk[-1]
            u, q = start.M[:, 0], np.diag(start.Q)
            means[seed] = u.mean(), (u**2).mean() - 1 / d, q.mean() - 1
        # known means of zero take most of the sampling error out of the bias
        design = np.column_stack((np.ones(draws), means))
        fitted, *_ = np.linalg.lstsq(design, risk - limit, rcond=None)
        rest = risk - limit - design @ fitted
        bias.append(fitted[0])
        bias_error.append(rest.std(ddof=4) / math.sqrt(draws))
        spread.append(risk.std(ddof=1))
    slope, half = slope_interval(widths, bias, np.array(bias_error) / np.array(bias))
    assert half < 0.1
    assert abs(slope + 1.0) < max(2 * half, 0.05), (slope, half)
    slope, half = slope_interval(widths, spread, np.full(len(widths), 1 / math.sqrt(2 * draws)))
    assert half < 0.05
    assert abs(slope + 0.5) < max(2 * half, 0.03), (slope, half)


def test_finite_dimension_is_of_the_size_predicted():
    """Mean field at d against d = ∞, from the same neurons: 1/d."""
    dims = np.array([10.0, 20, 40, 80, 160, 320])
    gaps = []
    for d in dims:
        result = compare(
            problem_of(d, 0.0), 4, 3.0, particles=400, save_at=4,
            descriptions=["mean_field", "mean_field_infinite"],
        )  # fmt: skip
        gaps.append(result.distance("mean_field", "mean_field_infinite").largest)
    rate = fit_rate(dims, np.array(gaps))
    assert rate.low < -1.0 < rate.high or abs(rate.slope + 1.0) < 0.03
    assert rate.high - rate.low < 0.2


def test_a_temperature_is_neglected_by_overlaps_that_move_as_their_means():
    """One run of SGD beside the overlap ODE: as far apart as said, to a factor of three."""
    problem = mf.Problem(
        mf.CommitteeTarget(k=1), dim=100, learning_rate=0.2, temperature=0.05, weight_decay=1.0
    )
    names = ["sgd", "overlap_ode"]
    found = mf.regimes.compare(problem, 16, 1.0, descriptions=names, runs=1, save_at=5, seed=1)
    said, seen = found.diagnosis["overlap_ode"], found.distance(*names).overlaps
    assert seen / 3 < said.size < 3 * seen
    assert not said.holds
    formulas = [one.formula for one in found.diagnosis["mean_field"].neglects]
    assert "√(2τ/p)" in formulas and "√(2τ)" not in formulas


def test_a_wide_network_has_the_band_of_its_risk():
    result = compare(problem_of(dim=50), 10, 0.2, runs=20, save_at=3, band=True)
    assert "Q_std" not in result.band.observables
    assert result.inside_band() > 0.8
