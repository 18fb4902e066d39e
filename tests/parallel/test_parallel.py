"""A solve split over ranks is the solve on one, to rounding."""

import math
import random
import signal
import threading

import numpy as np
import pytest

import meanfield as mf
from meanfield.dynamics import checkpoint as checkpoints
from meanfield.parallel.rank_checkpoint import RankCheckpoint
from meanfield.parallel.rank_neurons import SharedField
from meanfield.parallel.ranks import Ranks
from tests.parallel.ranks import CASES, Team, moment, problem_of, solve, square_of_u

ROUNDING = 1e-12
SERVING = {"half-sphere": "half-sphere", "square": "polynomial"}


def whole(case, **options):
    """The same neurons by the ordinary solver."""
    problem = problem_of(case)
    start = mf.parallel.draw(mf.gaussian_measure, problem, 1500, seed=3)
    return mf.solve_mean_field(problem, start, 4.0, 3, **options)


def agree(parts, reference, rounding=ROUNDING):
    assert {part.status for part in parts} == {reference.status}
    for name in ("a", "u", "r"):
        together = np.concatenate([getattr(part.final, name) for part in parts])
        np.testing.assert_allclose(
            together, getattr(reference.final, name), rtol=rounding, atol=rounding
        )
    for part in parts:
        assert part.risk.tobytes() == parts[0].risk.tobytes()
        np.testing.assert_allclose(part.risk, reference.risk, rtol=10 * rounding)
        assert part.stats["rhs_evaluations"] == reference.stats["rhs_evaluations"]
        assert part.stats["field_error"] == pytest.approx(reference.stats["field_error"], abs=1e-9)
    return True


@pytest.mark.parametrize("case", CASES)
def test_ranks_agree_with_one_process(case):
    reference = whole(case)
    alone = solve(case, None)
    assert alone.final == reference.final and np.array_equal(alone.risk, reference.risk)
    assert alone.stats["field"] == reference.stats["field"] == SERVING.get(case, "slices")
    for size in (2, 3) if case == "erf" else (2,):
        parts = Team(size).run(lambda comm: solve(case, comm))
        assert agree(parts, reference)
        lengths = np.square(reference.final.u).sum(axis=1)
        for part in parts:
            assert part.observables["square"][-1] == pytest.approx(lengths.mean(), rel=1e-12)
            assert part.observables["moment"].shape == (3, *2 * reference.final.u.shape[1:])


def test_long_runs_take_implicit_steps_together():
    one = solve("erf", None, n=500, t_end=1000.0)
    parts = Team(2).run(lambda comm: solve("erf", comm, n=500, t_end=1000.0))
    assert one.stats["implicit_steps"] == parts[0].stats["implicit_steps"] > 0
    u = np.concatenate([part.final.u for part in parts])
    np.testing.assert_allclose(u, one.final.u, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(parts[1].risk, one.risk, rtol=1e-9)


@pytest.mark.slow
def test_long_runs_of_relu_agree_as_the_page_says():
    """Differences, by which implicit steps find stiff directions, magnify rounding."""
    one = solve("half-sphere", None, n=500, t_end=200.0)
    parts = Team(2).run(lambda comm: solve("half-sphere", comm, n=500, t_end=200.0))
    assert one.stats["implicit_steps"] == parts[0].stats["implicit_steps"] > 0
    for name in ("a", "u", "r"):
        together = np.concatenate([getattr(part.final, name) for part in parts])
        np.testing.assert_allclose(together, getattr(one.final, name), rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(parts[1].risk, one.risk, rtol=1e-8)


def test_a_message_does_not_grow_with_the_neurons():
    per_sum = []
    for n in (1000, 4000):
        stats = Team(2).run(lambda comm, n=n: solve("erf", comm, n=n))[0].stats
        sums = stats["rhs_evaluations"]
        per_sum.append(stats["mesh_points"] * 8)
        assert stats["bytes_reduced"] < 2 * per_sum[-1] * sums + 2 * 20_000 * 3 * 8
    assert per_sum[0] == per_sum[1]


def test_neurons_that_leave_the_mesh_of_one_rank_move_it_for_all():
    problem = problem_of("erf")
    rng = np.random.default_rng(0)
    starts = [
        mf.ParticleMeasure(np.full(500, a), 0.1 * rng.standard_normal((500, 1)), np.ones(500))
        for a in (1.0, 20.0)  # those of the second rank run far away
    ]
    together = mf.ParticleMeasure(
        *(np.concatenate([getattr(s, name) for s in starts]) for name in ("a", "u", "r"))
    )
    options = {"t_end": 10.0, "save_at": 2, "threads": 1}
    parts = Team(2).run(
        lambda comm: mf.parallel.solve_mean_field(problem, starts[comm.rank], comm=comm, **options)
    )
    one = mf.parallel.solve_mean_field(problem, together, **options)
    # the differences by which implicit steps find stiff directions magnify rounding
    assert one.stats["layouts"] > 1 and agree(parts, one, rounding=1e-8)


def test_a_run_that_diverges_diverges_everywhere():
    problem = problem_of("erf")
    sizes = 1.0, 1e300  # only the second rank's neurons are beyond measure
    measures = [mf.ParticleMeasure(np.full(64, a), np.full((64, 1), 0.1), np.ones(64))
                for a in sizes]  # fmt: skip
    parts = Team(2).run(
        lambda comm: mf.parallel.solve_mean_field(
            problem, measures[comm.rank], 1.0, 2, comm=comm, threads=1
        )
    )
    assert parts[0].status == parts[1].status and parts[0].message == parts[1].message
    assert parts[0].status not in ("success", "interrupted")


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_draws_do_not_depend_on_the_ranks(size):
    problem = problem_of("erf")

    def draw(comm):
        return mf.parallel.draw(
            mf.gaussian_measure, problem, 1001, seed=5, comm=comm, sampling="random"
        )

    parts = Team(size).run(draw)
    alone = draw(None)
    assert sum(part.n for part in parts) == alone.n == 1001
    assert np.array_equal(np.concatenate([part.u for part in parts]), alone.u)
    assert len(np.unique(alone.r)) == 1001


def test_sums_are_exact_and_the_same_in_any_order():
    values = [np.array([1e16, 1.0]), np.array([1.0, math.pi]), np.array([-1e16, -1.0])]
    for order in ([0, 1, 2], [2, 0, 1]):
        found = Team(3).run(lambda comm, order=order: Ranks(comm).total(values[order[comm.rank]]))
        assert all(np.array_equal(sums, [1.0, math.pi]) for sums in found)
    assert np.isnan(Team(2).run(lambda comm: Ranks(comm).total(np.array([math.nan])))).all()
    largest = Team(2).run(lambda comm: Ranks(comm).largest(float(comm.rank), math.nan))
    assert largest == [[1.0, math.inf]] * 2


class Stopped(Exception):
    pass


def test_stops_in_a_row_never_lose_the_step_that_all_ranks_have(tmp_path, monkeypatch):
    """A rank ends just before or just after it writes, again and again."""
    monkeypatch.setattr(checkpoints, "INTERVAL", 0.0)
    monkeypatch.setattr(checkpoints, "PATIENCE", 0.0)
    expected = Team(2).run(lambda comm: solve("erf", comm))
    path = tmp_path / "run"
    rng, reached, load = random.Random(1), [-1], RankCheckpoint.load
    write = checkpoints.CheckpointFile.write

    def loaded(self):
        snapshot = load(self)
        reached.append(-1 if snapshot is None else snapshot.header["now"]["steps"])
        return snapshot

    monkeypatch.setattr(RankCheckpoint, "load", loaded)
    for _ in range(6):
        left, victim, after = [rng.randrange(2)], rng.randrange(2), rng.randrange(2)

        def stop(self, where, snapshot, left=left, victim=victim, after=after):
            struck = self.ranks.rank == victim and left[0] == 0
            left[0] -= self.ranks.rank == victim
            if not struck or after:
                write(self, where, snapshot)
            if struck:
                raise Stopped
            return True

        with monkeypatch.context() as patch:
            patch.setattr(checkpoints.CheckpointFile, "write", stop)
            with pytest.raises((Stopped, RuntimeError)):
                Team(2).run(lambda comm: solve("erf", comm, checkpoint=path))
    assert reached == sorted(reached) and reached[-1] > 0
    parts = Team(2).run(lambda comm: solve("erf", comm, checkpoint=path))
    for part, reference in zip(parts, expected, strict=True):
        assert part.final == reference.final and np.array_equal(part.risk, reference.risk)
    assert not list(tmp_path.iterdir())


def stopped_on(size, path, monkeypatch, case="erf"):
    """Files of a run on so many ranks, which has saved a few times."""
    monkeypatch.setattr(checkpoints, "INTERVAL", 0.0)
    monkeypatch.setattr(checkpoints, "PATIENCE", 0.0)
    saved = []

    def stop(self, where, snapshot, write=checkpoints.CheckpointFile.write):
        saved.append(where)
        if len(saved) > 6 * size:
            raise Stopped
        return write(self, where, snapshot)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.CheckpointFile, "write", stop)
        with pytest.raises((Stopped, RuntimeError)):
            Team(size).run(lambda comm: solve(case, comm, checkpoint=path))


@pytest.mark.parametrize(("case", "sizes"), [("erf", (2, 3)), ("large width", (3, 1)),
                                             ("two directions", (1, 2))])  # fmt: skip
def test_another_number_of_ranks_goes_on(case, sizes, tmp_path, monkeypatch):
    before, after = sizes
    stopped_on(before, tmp_path / "run", monkeypatch, case)
    taken = []
    load = RankCheckpoint.load
    monkeypatch.setattr(RankCheckpoint, "load", lambda self: taken.append(load(self)) or taken[-1])
    parts = Team(after).run(lambda comm: solve(case, comm, checkpoint=tmp_path / "run"))
    assert len(taken) == after and all(one.header["now"]["steps"] > 0 for one in taken)
    assert agree(parts, solve(case, None))
    assert not list(tmp_path.iterdir())


def test_neurons_of_another_start_are_refused(tmp_path, monkeypatch):
    stopped_on(2, tmp_path / "run", monkeypatch)

    def other(comm):
        problem = problem_of("erf")
        part = mf.parallel.draw(mf.gaussian_measure, problem, 1500, seed=4, comm=comm)
        averages = {"square": square_of_u, "moment": moment}
        return mf.parallel.solve_mean_field(problem, part, 4.0, 3, comm=comm, averages=averages,
                                            checkpoint=tmp_path / "run")  # fmt: skip

    for size in (2, 3):
        with pytest.raises(ValueError, match="belongs to another call: it differs in start"):
            Team(size).run(other)


def ended(function):
    """How each rank ends."""

    def one(comm):
        try:
            return function(comm)
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    return Team(2).run(one)


def fails_late(t, part):
    if t > 0.0 and threading.current_thread().name == "rank 1":
        raise ArithmeticError("no average here")
    return 0.0


def test_what_one_rank_raises_all_raise(tmp_path):
    problem = problem_of("erf")
    part = mf.parallel.draw(mf.gaussian_measure, problem, 1000)

    def run(comm, **changes):
        threading.current_thread().name = f"rank {comm.rank}"
        options = {"t_end": 4.0, "save_at": 3, "comm": comm, "threads": 1}
        return mf.parallel.solve_mean_field(problem, part, **(options | changes))

    found = {
        "no folder": ended(lambda c: run(c, checkpoint=tmp_path / ("no/x", "x")[c.rank])),
        "average": ended(lambda c: run(c, averages={"x": fails_late})),
        "part": ended(lambda c: run(c, t_end=(1.0, -1.0)[c.rank])),
        "times": ended(lambda c: run(c, t_end=(1.0, 2.0)[c.rank])),
        "seed": ended(lambda c: run(c, evaluator=("auto", "slices")[c.rank])),
    }
    assert all(one == other for one, other in found.values()), found
    assert "no average here" in found["average"][0]
    assert found["part"][0].startswith("ValueError: t_end must")
    assert found["times"][0] == (
        "ValueError: t_end must be the same on all ranks: rank 0 has 1.0, rank 1 has 2.0"
    )


def test_a_signal_to_one_rank_ends_all_at_the_same_step(tmp_path, monkeypatch):
    whole = Team(2).run(lambda comm: solve("erf", comm))

    def asked(t, part):
        if threading.current_thread().name == "asked" and t > 0.0:
            asked.ranks.signal = signal.SIGINT
        return 0.0

    init = Ranks.__init__

    def remember(self, comm=None):
        init(self, comm)
        if comm is not None and comm.rank == 1:
            asked.ranks = self

    monkeypatch.setattr(Ranks, "__init__", remember)

    def run(comm, average=asked):
        threading.current_thread().name = "asked" if comm.rank == 1 else "other"
        problem = problem_of("erf")
        part = mf.parallel.draw(mf.gaussian_measure, problem, 1500, seed=3, comm=comm)
        try:
            return mf.parallel.solve_mean_field(
                problem, part, 4.0, 3, comm=comm, averages={"x": average}, threads=1,
                checkpoint=tmp_path / "run",
            )  # fmt: skip
        except KeyboardInterrupt as error:
            return error.result

    one, other = Team(2).run(run)
    assert one.status is other.status is mf.Status.INTERRUPTED and one.message == other.message
    parts = Team(2).run(lambda comm: run(comm, lambda t, part: 0.0))
    assert all(mine.final == his.final for mine, his in zip(parts, whole, strict=True))


def test_another_runs_checkpoint_is_refused_by_all(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "INTERVAL", 0.0)
    path = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.CheckpointFile, "remove", lambda self: None)
        patch.setattr("meanfield.parallel.rank_checkpoint.RankCheckpoint.remove", lambda self: None)
        Team(2).run(lambda comm: solve("erf", comm, checkpoint=path))
    with pytest.raises(ValueError, match=r"run\.[01]-of-2.* belongs to another call"):
        Team(2).run(lambda comm: solve("erf", comm, rtol=1e-5, checkpoint=path))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"problem": 3}, "problem must"),
        ({"part": 3}, "part must"),
        ({"part": mf.ParticleMeasure([1, 1], [[0], [0]], [1, 1], mass=[0.5, 0.5])}, "equal masses"),
        ({"part": mf.ParticleMeasure([1], [[0, 0]], [1])}, "part must"),
        ({"t_end": -1.0}, "t_end"),
        ({"rtol": 0.0}, "rtol"),
        ({"threads": 0}, "threads"),
        ({"averages": [1]}, "averages must be"),
        ({"checkpoint": "no/such/folder/run"}, "checkpoint"),
    ],
)
def test_bad_arguments_are_named(change, named):
    arguments = {
        "problem": problem_of("erf"),
        "part": mf.ParticleMeasure([1.0], [[0.1]], [1.0]),
        "t_end": 1.0,
    }
    with pytest.raises((ValueError, TypeError, OSError), match=named):
        mf.parallel.solve_mean_field(**(arguments | change))


def test_what_no_ranks_can_share_is_refused_with_the_reason():
    problem = mf.Problem(mf.CommitteeTarget(k=4), "tanh", 10)
    measure = mf.ParticleMeasure([1.0], [[0.1] * 4], [1.0])
    with pytest.raises(ValueError, match="tanh under this target at k = 4, which is none here"):
        mf.parallel.solve_mean_field(problem, measure, 1.0)
    one = mf.ParticleMeasure([1.0], [[0.1]], [1.0])
    with pytest.raises(ValueError, match="which is 'slices', got 'pairs'"):
        mf.parallel.solve_mean_field(problem_of("erf"), one, 1.0, evaluator="pairs")


def test_crowds_on_one_rank_refine_the_mesh_of_all():
    """Neurons in one cell of the plane are few on each rank, and many together."""
    problem = problem_of("half-sphere")
    spread = mf.gaussian_measure(problem, 600, seed=1)
    rng = np.random.default_rng(0)
    crowd = mf.ParticleMeasure(
        np.ones(600), [1.0, 0.3] + 1e-4 * rng.standard_normal((600, 2)), np.full(600, 1e-4)
    )

    def levels(comm):
        field = SharedField(problem, Ranks(comm), 1200, spread, "half-sphere")
        before = field.field.level
        arrays = (spread, crowd)[comm.rank].arrays()
        while field.outgrown(*arrays) and field.grow(*arrays):
            pass
        return before, field.field.level

    found = Team(2).run(levels)
    assert found[0] == found[1] and found[0][0] < found[0][1]


def test_bad_draws_are_named():
    problem = problem_of("erf")
    with pytest.raises(ValueError, match="n must be at least 128 on 2 ranks"):
        Team(2).run(lambda comm: mf.parallel.draw(mf.gaussian_measure, problem, 100, comm=comm))
    with pytest.raises(TypeError, match="law must draw a ParticleMeasure"):
        mf.parallel.draw(lambda *_, **__: 3, problem, 100)
