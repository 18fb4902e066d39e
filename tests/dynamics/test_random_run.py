"""What all runs that draw random numbers share: records, stops of single runs, and checkpoints."""

import math

import numpy as np
import pytest

import meanfield as mf
from meanfield import storage
from meanfield.dynamics.checkpoint import CHECKPOINT_FORMAT
from meanfield.dynamics.random_run import starts_of_runs
from meanfield.dynamics.state_series import last_states
from meanfield.dynamics.stopping import RunLook, StoppingRuns
from meanfield.dynamics.stops import Stops
from meanfield.until import check_until

HOT = mf.Problem(mf.CommitteeTarget(k=1), dim=20, temperature=1e-3)
LAW = mf.gaussian_measure(HOT, 30, seed=1)


def stopping(count=4):
    return StoppingRuns(Stops(check_until(lambda t, state: state)), count)


def test_runs_that_have_stopped_stay_what_they_were():
    runs = stopping()
    first = {"y": np.arange(8.0).reshape(4, 2)}
    assert runs.of_all(first) == first
    runs.hold(np.array([True, False, True, True]), first)
    later = {"y": 10.0 + np.arange(6.0).reshape(3, 2)}
    assert runs.active.tolist() == [0, 2, 3]
    assert runs.of_all(later)["y"].tolist() == [[10, 11], [2, 3], [12, 13], [14, 15]]
    before = runs.arrays()["held.y"].copy()
    again = runs.arrays()["held.y"]
    runs.hold(np.array([False, True, False]), later)
    np.testing.assert_array_equal(again, before)  # what a snapshot holds changes no more
    last = {"y": np.array([[20.0, 21.0]])}
    assert runs.of_all(last)["y"].tolist() == [[10, 11], [2, 3], [20, 21], [14, 15]]
    assert not runs.over
    runs.hold(np.array([False]), last)
    assert runs.over
    assert runs.of_all({})["y"].tolist() == [[10, 11], [2, 3], [20, 21], [14, 15]]


def test_stopping_runs_come_back_from_a_snapshot():
    runs, other = stopping(), stopping()
    after, which = runs.signs_after(1, runs.values(RunLook(0.5, lambda: 0.0, lambda: -2.0)))
    assert (after, which) == ([-1.0], None)  # a function has had no sign before
    runs.signs[1] = after
    assert runs.signs_after(1, [3.0]) == ([-1.0], 0)
    runs.stopped[1] = (0.7, "crossed")
    runs.hold(np.array([True, False, True, True]), {"y": np.arange(4.0)})
    other.restore(runs.header(), runs.arrays())
    assert other.active.tolist() == [0, 2, 3] and other.signs == runs.signs
    assert other.held["y"].tolist() == [0.0, 1.0, 0.0, 0.0]
    assert other.stats()["stopped_by"] == ["", "crossed", "", ""]
    assert other.stats()["stopped_at"][1] == 0.7 and math.isnan(other.stats()["stopped_at"][0])


def test_what_stopped_the_runs_is_counted():
    runs = stopping(3)
    runs.stopped = [(1.0, "a"), (2.0, "b"), (1.5, "a")]
    assert runs.reasons() == "a (2 of 3 runs), b (1 of 3 runs)"
    alone = stopping(1)
    alone.stopped = [(1.0, "a")]
    assert alone.reasons() == "a"


def test_one_start_for_all_runs_or_one_for_each():
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=20, learning_rate=0.5)
    one = mf.gaussian_overlaps(problem, 2, seed=1)
    each = last_states(mf.simulate_sgd(problem, one, 1.0, runs=3, save_at=2).states)
    assert starts_of_runs(one, 5, "start") == ([one], 5)
    for runs in (1, 3):
        starts, count = starts_of_runs(each, runs, "start")
        assert starts == [*each] and count == 3
    with pytest.raises(ValueError, match="start must hold one state or as many as runs, 2, got 3"):
        starts_of_runs(each, 2, "start")


@pytest.mark.usefixtures("interrupted_results")
def test_a_checkpoint_of_before_goes_on(tmp_path):
    """It counted records under another name, and they did not say their times."""
    path, asked = tmp_path / "run.part", []

    def mean(t, state):
        asked.append(t)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return state.u.mean()

    def run(**more):
        return mf.solve_mean_field(
            HOT, LAW, 4.0, save_at=5, step=0.1, observables={"mean": mean}, **more
        )

    assert run(checkpoint=path).status == "interrupted"
    header, arrays = storage.read_archive(path, CHECKPOINT_FORMAT)
    arrays = {name: each for name, each in arrays.items() if name not in ("where.t", "values.t")}
    del header["arrays"]
    header["snapshot"]["records"] = header["snapshot"].pop("count")
    storage.write_archive(path, CHECKPOINT_FORMAT, header, arrays)
    resumed, whole = run(checkpoint=path), run()
    assert resumed == whole and resumed.t.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
