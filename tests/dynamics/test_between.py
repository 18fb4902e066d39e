"""The state of a run between its saved times, against the run told to save there."""

import math

import numpy as np
import pytest

import meanfield as mf
from meanfield import schedules

ANNEALED = schedules.power(1.0, 0.5, 2.0, clock="alpha")
PROBLEMS = {
    "constant": mf.Problem(mf.CommitteeTarget(k=1, noise=0.1), dim=100, learning_rate=0.5),
    "annealed": mf.Problem(mf.CommitteeTarget(k=1, noise=0.1), dim=100, learning_rate=ANNEALED),
    "large width": mf.Problem(mf.CommitteeTarget(k=2), dim=math.inf, second_layer_rate=1.0),
}


def solve(case, save_at, t_end=3.0, **options):
    problem = PROBLEMS[case]
    if case == "large width":
        start = mf.gaussian_measure(problem, 50, seed=1)
        return mf.solve_mean_field(problem, start, t_end, save_at=save_at, **options)
    return mf.solve_overlaps(
        problem, mf.gaussian_overlaps(problem, 2), t_end, save_at=save_at, **options
    )


def apart(one, other):
    """How far two states are apart, in numbers of order one."""
    return max(
        np.abs(getattr(one, name) - getattr(other, name)).max()
        for name in ("a", "u", "r", "Q", "M") if hasattr(one, name)
    )  # fmt: skip


@pytest.mark.parametrize("case", PROBLEMS)
def test_it_is_as_accurate_as_what_was_saved(case):
    for rtol in (1e-4, 1e-7):
        run = solve(case, 4, rtol=rtol)
        exact = solve(case, [0.0, 1.0, 1.3, 2.0, 3.0], rtol=1e-11)
        allowed = 10.0 * rtol
        assert apart(run.states[1], exact.states[1]) < allowed
        assert 0.0 < apart(run.at(1.3), exact.states[2]) < allowed
        assert apart(run.at(1.3), run.states[1]) > 1e-3


def test_settings_are_those_of_the_run():
    run = solve("constant", 4, sgd_noise=False)
    exact, other = (solve("constant", [0.0, 1.3], sgd_noise=noise) for noise in (False, True))
    assert apart(run.at(1.3), exact.states[1]) < 1e-4 < apart(other.states[1], exact.states[1])


def test_a_saved_time_is_that_state_and_others_are_refused():
    run = solve("constant", 4)
    assert [run.at(t) for t in run.t] == list(run.states)
    for t in (-0.1, 3.1, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"^t must"):
            run.at(t)
    with pytest.raises(TypeError, match=r"^t must"):
        run.at([1.0, 2.0])


@pytest.mark.parametrize("case", PROBLEMS)
def test_it_survives_a_file_and_runs_that_kept_their_ends(case, tmp_path):
    run = solve(case, 4)
    assert mf.load(run.save(tmp_path / "run.npz")).at(1.3) == run.at(1.3)
    ends = solve(case, 4, keep="ends")
    assert apart(ends.at(1.3), run.at(1.3)) < 1e-5


def test_in_every_phase_by_the_clock_of_the_whole():
    """Schedules go on by t and α of the whole run, and a run under another problem by that one."""
    run, exact = (
        solve("annealed", save_at, rtol=rtol)
        .then(PROBLEMS["constant"], 5.0, save_at=later)
        .then(PROBLEMS["annealed"], 7.0, save_at=later_still)
        for save_at, later, later_still, rtol in (
            (4, 2, 2, 1e-7), ([0.0, 1.3, 3.0], [3.0, 4.1, 5.0], [5.0, 6.2, 7.0], 1e-11),
        )
    )  # fmt: skip
    for t in (1.3, 4.1, 6.2):
        there = exact.states[int(np.searchsorted(exact.t, t))]
        assert apart(run.at(t), there) < 1e-6, t


def test_runs_that_are_not_determined_by_what_they_kept_are_refused():
    problem, warm = PROBLEMS["constant"], mf.Problem(mf.CommitteeTarget(k=1), dim=10, temperature=1)
    start = mf.gaussian_overlaps(problem, 2)
    pace = schedules.adagrad_norm(0.5, 1.0)
    paced = mf.Problem(mf.CommitteeTarget(k=1, noise=0.1), dim=100, learning_rate=pace)
    refused = {
        "SGD exact in law": mf.simulate_sgd(problem, start, 0.1, save_at=2),
        "fluctuations": mf.solve_fluctuations(problem, start, 0.1, save_at=2),
        "temperature": mf.solve_mean_field(warm, mf.gaussian_measure(warm, 5), 0.1, save_at=2),
        "adagrad_norm": mf.solve_overlaps(paced, start, 0.1, save_at=2),
    }
    for reason, run in refused.items():
        with pytest.raises(ValueError, match=f"{reason}.*save_at"):
            run.at(0.05)
