"""The concentration study: its rates, its executors, its file."""

import math
import multiprocessing
import signal
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

import meanfield as mf
from meanfield import projection
from meanfield.storage import write_archive
from meanfield.studies import concentration_study, load_study, parts, read_results
from meanfield.studies.concentration_result import CURVES
from tests.reference import mean_field as twin

QUANTITIES = ("risk", "energy", "leak", "wasserstein")


def same(one, other):
    assert np.array_equal(one.dims, other.dims) and np.array_equal(one.t, other.t)
    assert one.curves.keys() == other.curves.keys()
    for name in one.curves:
        assert np.array_equal(one.curves[name], other.curves[name]), name
    assert np.array_equal(one.wasserstein, other.wasserstein, equal_nan=True)
    assert np.array_equal(one.widths, other.widths)
    for name in one.sampling_error:
        assert np.array_equal(one.sampling_error[name], other.sampling_error[name], equal_nan=True)
    assert one.laws == other.laws
    assert one.messages == other.messages
    return True


def small(dims=(10, 20, math.inf), **options):
    settings = {"n": 20, "t_end": 0.2, "replicas": 2, **options}
    return concentration_study(mf.CommitteeTarget(k=1), dims, **settings)


@pytest.mark.parametrize("quantity", ["leak", "risk"])
def test_distances_to_the_limit_fall_like_one_over_d(study, quantity):
    rate = study.rate(quantity)
    assert rate.low < -1.0 < rate.high
    assert abs(rate.slope + 1.0) < 0.05
    assert rate.high - rate.low < 0.3
    assert rate.points == 5


def test_shape_and_sense_of_the_curves(study):
    assert list(study.dims) == [10, 20, 40, 80, 160, math.inf]
    assert not study.messages
    for name in CURVES:
        assert study.curves[name].shape == (6, len(study.t))
    assert study.t[0] == 0.0 and study.t[-1] == 3.0
    np.testing.assert_allclose(study.curves["energy"][:-1, 0], 1 / study.dims[:-1], rtol=0.1)
    assert (np.diff(study.curves["risk"], axis=1) < 0).all()
    assert (study.curves["leak"][-1] == 0.0).all()
    assert (np.diff(study.final("leak")) < 0).all()
    assert (np.diff(study.wasserstein) < 0).all() and study.wasserstein[-1] == 0.0
    assert study.final("risk_difference")[-1] == 0.0
    for name in QUANTITIES:
        error = study.sampling_error[name]
        assert np.isfinite(error[:-1]).all() and math.isnan(error[-1])
        assert (error[:-1] < 0.05 * np.abs(study.final(name)[:-1])).all()


def test_the_finals_belong_to_the_curves(study):
    """Risk and leak of one run again, from its final measure and the twin."""
    final = study.finals[0]
    expected = twin.flow(study.problem.at_dim(10), final.a, final.u, final.r)
    assert math.isclose(expected.risk, study.replicas["risk"][0, 0, -1], rel_tol=1e-6)
    c = projection.concentration(final, study.problem.at_dim(10))
    assert math.isclose(c.leak, study.replicas["leak"][0, 0, -1], rel_tol=1e-6)


def test_the_table_says_it_all(study):
    table = study.text()
    for word in ("risk", "leak", "∞", "160", "slope"):
        assert word in table


@pytest.mark.parametrize(
    ("quantity", "slope"),
    [("perpendicular", -0.5), ("wasserstein", -0.5), ("energy_difference", -1)],
)
def test_other_rates_are_what_the_theory_says(study, quantity, slope):
    rate = study.rate(quantity)
    assert rate.low < slope < rate.high
    assert abs(rate.slope - slope) < 0.02
    assert rate.r_squared > 0.999
    assert 0 < rate.sampling < 0.05


def test_a_start_that_does_not_depend_on_the_dimension_is_left_at_one_over_d():
    """W2 to the limit then is what the flow does, O(1/d), not the spread of the start."""
    rng = np.random.default_rng(2)
    same = mf.ParticleMeasure(np.ones(40), 0.3 * rng.standard_normal(40), rng.uniform(0.5, 1, 40))
    fixed = small(dims=(20, 40, 80, 160, math.inf), t_end=1.0, start=same)
    rate = fixed.rate("wasserstein")
    assert rate.low < -1.0 < rate.high
    assert abs(rate.slope + 1.0) < 0.03
    assert fixed.distances.shape == (5, 1)  # nothing is drawn: one replica


@pytest.mark.parametrize("quantity", ["risk", "energy", "leak"])
def test_the_limit_is_found_from_finite_dimensions(study, quantity):
    limit = study.extrapolate(quantity)
    assert limit.agrees, str(limit)
    assert limit.solved == study.final(quantity)[-1]
    assert limit.high - limit.low < 0.02 * abs(study.final(quantity)[0] - limit.solved)


@pytest.mark.parametrize("kind", ["overlaps", "sgd"])
def test_networks_of_finite_width(kind):
    """The leak has a part 1/p that no dimension takes away, and a part 1/d."""
    networks = small(
        dims=(30, 60, 120, 240, math.inf), kind=kind, widths=[4, 8], learning_rate=0.5,
        t_end=1.0, replicas=4,
    )  # fmt: skip
    assert list(networks.widths) == [4] * 5 + [8] * 5
    assert list(networks.dims[:5]) == list(networks.dims[5:]) == [30, 60, 120, 240, math.inf]
    assert not networks.messages
    leak = networks.final("leak_variance")
    assert (leak > 0).all()
    assert 1.8 < leak[4] / leak[9] < 2.2
    perpendicular = networks.curves["perpendicular"]
    at_the_start = np.polyfit(np.log(networks.dims[:4]), np.log(perpendicular[:4, 0]), 1)[0]
    assert abs(at_the_start + 0.5) < 0.15
    grown = perpendicular[[4, 9], -1]  # neurons learn not to repeat each other: of order 1/p
    assert grown[0] > grown[1] > 0
    assert np.isfinite(networks.wasserstein).all() and networks.wasserstein[4] == 0.0
    assert networks.sampling_error["risk"][0] > 0
    assert "p = 4" in networks.text() and "p = 8" in networks.text()
    assert networks.finals[0].n == 4


def test_a_rate_in_the_width():
    networks = small(dims=(math.inf,), kind="overlaps", widths=[2, 4, 8, 16], t_end=1.0)
    rate = networks.rate("leak_variance", over="width", at=math.inf)
    assert rate.low < -1.0 < rate.high
    with pytest.raises(ValueError, match="over"):
        networks.rate("leak", over="time")
    with pytest.raises(ValueError, match="at must be"):
        networks.rate("leak", at=3)


@pytest.mark.parametrize(("dim", "draw"), [(8, mf.gaussian_weights), (30, mf.gaussian_overlaps)])
def test_sgd_of_a_study_is_simulated_sgd(dim, draw):
    """In R^d or exactly in law, whichever is cheaper."""
    one = small(dims=(dim,), kind="sgd", widths=4, learning_rate=0.32, replicas=1, seed=5)
    seeds = np.random.SeedSequence(5).spawn(1)[0].generate_state(2)
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=dim, learning_rate=0.32)
    start = draw(problem, 4, seed=int(seeds[0]))
    sgd = mf.simulate_sgd(problem, start, 0.2, seed=int(seeds[1]), save_at=41)
    expected = np.interp(one.t, sgd.t, sgd.risk[0])
    np.testing.assert_allclose(one.curves["risk"][0], expected, rtol=1e-12)


def test_quantities_are_named(study):
    with pytest.raises(ValueError, match="quantity"):
        study.final("speed")


def test_a_study_on_disk_equals_itself(study, tmp_path):
    read = load_study(study.save(tmp_path / "study.npz"))
    assert same(read, study)
    assert read.problem == study.problem
    assert read.parameters == study.parameters and read.parameters["seed"] == 1
    assert str(read.rate("leak")) == str(study.rate("leak"))


def test_a_foreign_file_is_refused(tmp_path):
    path = tmp_path / "study.npz"
    path.write_bytes(b"not a study")
    with pytest.raises(ValueError, match="study"):
        load_study(path)
    problem = mf.Problem(mf.CommitteeTarget(k=1), "erf", 10)
    run = mf.solve_mean_field(problem, mf.gaussian_measure(problem, 4), 0.1)
    with pytest.raises(ValueError):
        load_study(run.save(tmp_path / "run.npz"))
    with pytest.raises(FileNotFoundError):
        load_study(tmp_path / "nothing.npz")


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_processes_compute_what_this_one_does(method):
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        outside = small(executor=pool)
    assert same(outside, small(threads=1))


def test_the_same_seed_gives_the_same_study():
    assert same(small(seed=3), small(seed=3))
    assert not np.array_equal(small(seed=3).curves["risk"], small(seed=4).curves["risk"])


def test_dimensions_are_sorted_and_distinct():
    study = small(dims=(math.inf, 20, 10, 20))
    assert list(study.dims) == [10, 20, math.inf]


def test_without_the_limit_there_is_no_distance_to_it():
    study = small(dims=(10, 20))
    assert np.isnan(study.wasserstein).all()
    for quantity in ("risk", "risk_difference"):
        with pytest.raises(ValueError, match=r"math\.inf"):
            study.rate(quantity)


def test_too_few_dimensions_have_no_rate():
    with pytest.raises(ValueError, match="three"):
        small().rate("leak")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"dims": []}, "dims"),
        ({"dims": [1]}, "dims"),
        ({"dims": [10.5]}, "dims"),
        ({"dims": [10, -math.inf]}, "dims"),
        ({"n": -1}, "n "),
        ({"t_end": 0.0}, "t_end"),
        ({"scale": 0.0}, "scale"),
        ({"replicas": 0}, "replicas"),
        ({"sampling": "grid"}, "sampling"),
        ({"activation": "none"}, "activation"),
        ({"kind": "magic"}, "kind"),
        ({"kind": "overlaps"}, "widths"),
        ({"kind": "overlaps", "widths": []}, "widths"),
        ({"kind": "sgd", "widths": 3}, "learning_rate"),
        ({"widths": 3}, "widths"),
        ({"saves": 1}, "saves"),
        ({"start": mf.ParticleMeasure([1.0], [[1.0, 1.0]], [1.0])}, "start"),
    ],
)
def test_bad_arguments_are_named(change, name):
    with pytest.raises(ValueError, match=name):
        small(**change)


def work(folder):
    many(store=folder)


def many(**options):
    return small(dims=(10, 20, 30, 40, 60, math.inf), saves=5, replicas=6, **options)


@pytest.mark.slow
def test_killed_and_started_again_it_goes_on_bit_for_bit(tmp_path):
    """In a process that has imported everything, so that the blow falls into the runs."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["meanfield", __name__])
    runs = tmp_path / "runs"
    for _ in range(3):
        before = len(list(runs.glob("*.npz")))
        process = context.Process(target=work, args=(tmp_path,))
        process.start()
        while process.is_alive() and len(list(runs.glob("*.npz"))) < before + 3:
            time.sleep(0.002)
        process.kill()
        process.join()
    half = load_study(tmp_path)
    there = len(list(runs.glob("*.npz")))
    assert 9 <= there < 31
    assert half.messages == [f"{31 - there} of 31 runs are not made yet"]
    undisturbed = many()
    assert same(many(store=tmp_path), undisturbed) and same(load_study(tmp_path), undisturbed)


def test_a_store_and_executors_are_those_of_any_study(tmp_path):
    options = {"kind": "sgd", "widths": [2, 4], "learning_rate": 0.5, "dims": (10, 20, math.inf)}
    with ThreadPoolExecutor(2) as threads:
        stored = small(executor=threads, store=tmp_path, **options)
    assert same(stored, small(**options)) and same(load_study(tmp_path), stored)
    results = read_results(tmp_path)
    assert results.complete and results.axes["dim"][0] == {"problem.dim": 10}
    assert results.array("risk").shape[:3] == (2, 3, 2)
    assert {row["dim"] for row in results.table()} == {10, 20, math.inf}
    with pytest.raises(ValueError, match="holds another study"):
        small(store=tmp_path, **options | {"seed": 1})


def test_a_run_that_fails_is_named_and_the_others_are_kept(tmp_path, monkeypatch):
    measure = parts.starts.gaussian_measure

    def fragile(problem, n, scale=1.0, seed=0, sampling="random", second_layer=1.0):
        if problem.dim == 20:
            raise ArithmeticError("no start here")
        return measure(problem, n, scale, seed, sampling, second_layer)

    with monkeypatch.context() as patch:
        patch.setitem(parts.LAWS, "gaussian_measure", fragile)
        with pytest.raises(RuntimeError, match=r"d = 20 failed: ArithmeticError: no start here"):
            small(store=tmp_path)
    assert read_results(tmp_path).counts == {"success": 3, "failed": 2}
    with pytest.raises(RuntimeError, match="d = 20 failed"):
        small(store=tmp_path)
    assert same(small(store=tmp_path, retry=True), small())


def struck(count, number):
    """A start that is a signal the `count`-th time it is drawn."""
    measure, drawn = parts.starts.gaussian_measure, []

    def law(problem, n, scale=1.0, seed=0, sampling="random", second_layer=1.0):
        drawn.append(seed)
        if len(drawn) == count:
            signal.raise_signal(number)
        return measure(problem, n, scale, seed, sampling, second_layer)

    return law


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_the_study_of_what_was_made(tmp_path, monkeypatch, number):
    kind = KeyboardInterrupt if number == signal.SIGINT else SystemExit
    with monkeypatch.context() as patch:
        patch.setitem(parts.LAWS, "gaussian_measure", struck(1, number))
        with pytest.raises(kind) as caught:
            small(store=tmp_path)
        assert caught.value.result is None  # of no run
        patch.setitem(parts.LAWS, "gaussian_measure", struck(4, number))
        with pytest.raises(kind) as caught:
            small(store=tmp_path)
    found = caught.value.result
    assert isinstance(found, mf.ConcentrationStudy)
    assert found.messages == ["2 of 5 runs are not made yet"]
    assert same(found, load_study(tmp_path))
    assert same(small(store=tmp_path), small())


def test_who_asks_has_the_study_of_what_was_made_before_ctrl_c(monkeypatch):
    monkeypatch.setitem(parts.LAWS, "gaussian_measure", struck(4, signal.SIGINT))
    with mf.return_on_interrupt():
        found = small()
    assert found.messages == ["2 of 5 runs are not made yet"] and len(found.laws) == 2


def test_masses_of_a_start_are_kept(tmp_path):
    start = mf.ParticleMeasure([1.0, 1.0], [0.1, 0.2], [1.0, 0.5], [0.25, 0.75])
    study = small(start=start, store=tmp_path / "store")
    for read in (study, load_study(tmp_path / "store"), load_study(study.save(tmp_path / "file"))):
        assert read.laws == study.laws and (read.laws[0][0].mass == [0.25, 0.75]).all()


def test_only_a_concentration_study_is_analysed(tmp_path):
    plain = mf.Study(
        problem=mf.Problem(mf.CommitteeTarget(k=1), dim=10),
        start={"law": "gaussian_measure", "n": 8},
        solver={"description": "mean_field", "t_end": 0.1},
        name="another kind",
    )
    plain.run(store=tmp_path)
    with pytest.raises(ValueError, match="'another kind' is no concentration study"):
        load_study(tmp_path)


def test_files_written_before_there_was_a_store_are_read(tmp_path):
    """Their layout, word for word."""
    problem = mf.Problem(mf.CommitteeTarget(k=1))
    arrays = {"dims": np.array([10.0, math.inf]), "widths": np.full(2, math.inf),
              "t": np.array([0.0, 1.0]), "distances": np.array([[0.1], [0.0]])}  # fmt: skip
    arrays |= {f"curves.{name}": np.ones((2, 1, 2)) for name in CURVES}
    for i in range(2):
        arrays |= {f"law{i}.0.a": np.ones(3), f"law{i}.0.u": np.ones((3, 1)),
                   f"law{i}.0.r": np.ones(3)}  # fmt: skip
    header = {"problem": problem.parameters(), "parameters": {"version": "0.1.0", "seed": 1},
              "messages": [], "origins": [[{"seed": 3}], [{}]]}  # fmt: skip
    path = write_archive(tmp_path / "old.npz", "meanfield-concentration-study", header, arrays)
    study = load_study(path)
    assert study.problem == problem and study.parameters == header["parameters"]
    assert list(study.dims) == [10, math.inf] and study.wasserstein[0] == 0.1
    assert study.laws[0][0] == mf.ParticleMeasure(np.ones(3), np.ones(3), np.ones(3))
    assert study.laws[0][0].origin == {"seed": 3} and study.curves.keys() == set(CURVES)


class Failing:
    """An executor whose workers are gone."""

    def submit(self, function, *arguments):
        future = Future()
        future.set_exception(OSError("the worker is gone"))
        return future


def test_what_goes_wrong_in_a_worker_is_raised():
    with pytest.raises(OSError, match="gone"):
        small(executor=Failing())


def test_a_limit_at_its_saddle_is_said():
    """A student and target of squares: u = 0 stays at d = ∞, and is left in every other d."""
    even = mf.CommitteeTarget(k=1, activation="square")
    options = {"n": 40, "t_end": 2.0, "replicas": 1, "saves": 3, "rtol": 1e-4}
    study = mf.concentration_study(even, [10, 40, math.inf], activation="square", **options)
    (note,) = study.notes
    assert note.startswith("the run at d = ∞ stays at a saddle") and "\n" not in note
    assert "slopes mean nothing" in note and f"note: {note}" in study.text()
    # an odd student of an even target: f is 0 by symmetry in every d
    nothing = mf.concentration_study(even, [10, 40, math.inf], activation="erf", **options)
    assert [note[:25] for note in nothing.notes] == ["f is 0 up to rounding at "]
    assert "d = 10, 40, ∞" in nothing.notes[0]
    # neurons that cannot turn anywhere are no saddle's, and neither is a run that learns
    stuck = mf.concentration_study(
        mf.CommitteeTarget(k=1), [10, 40, math.inf], activation="square", **options
    )
    learns = mf.concentration_study(mf.CommitteeTarget(k=1), [10, 40, math.inf], **options)
    assert stuck.notes == learns.notes == []
