"""What a run returns."""

import numpy as np
import pytest

import meanfield as mf
from meanfield.dynamics.solution import Solution
from meanfield.dynamics.state_series import StateSeries


def solution(**changes):
    u = np.arange(4.0).reshape(2, 2, 1)
    states = StateSeries(
        "ParticleMeasure", {"u": u}, {"a": np.ones(2), "r": np.ones(2)}, (2,), {"seed": 0}
    )
    arguments = {
        "t": np.array([0.0, 1.0]),
        "risk": np.array([0.5, 0.25]),
        "states": states,
        "status": mf.Status.SUCCESS,
        "message": "reached t = 1",
        "stats": {"rhs_evaluations": 7},
        "problem": mf.Problem(mf.CommitteeTarget(k=1)),
        "parameters": {"description": "mean field"},
    }
    return Solution(**(arguments | changes))


def test_final_is_the_last_state():
    assert solution().final == mf.ParticleMeasure([1, 1], [2.0, 3.0], [1, 1])


def test_final_of_several_runs_is_one_state_a_run():
    u = np.arange(8.0).reshape(2, 2, 2, 1)
    states = StateSeries(
        "ParticleMeasure", {"u": u}, {"a": np.ones(2), "r": np.ones(2)}, (2, 2), {}
    )
    final = solution(states=states, risk=np.ones((2, 2))).final
    assert [measure.u.ravel().tolist() for measure in final] == [[2.0, 3.0], [6.0, 7.0]]


def test_status_is_a_word_with_a_message():
    done, failed = solution(), solution(status="diverged", message="at t = 1")
    assert done.success and not failed.success
    assert failed.status == "diverged"
    assert repr(failed) == "<Solution: mean field, diverged, t = 1, risk 0.25; at t = 1>"
    with pytest.raises(ValueError, match="'fine' is not a valid Status"):
        solution(status="fine")


def test_version_is_stamped_but_not_overwritten():
    assert solution().parameters["version"] == mf.__version__
    assert solution(parameters={"version": "0.0.1"}).parameters["version"] == "0.0.1"


@pytest.mark.parametrize(
    "change",
    [
        {"t": np.array([0.0, 2.0])},
        {"risk": np.array([0.5, 0.3])},
        {"status": "diverged"},
        {"message": "other"},
        {"stats": {"rhs_evaluations": 8}},
        {"problem": mf.Problem(mf.CommitteeTarget(k=1), dim=9)},
        {"parameters": {"description": "overlaps"}},
    ],
)
def test_equality_looks_at_everything(change):
    assert solution() == solution()
    assert solution() != solution(**change)


def test_a_run_without_records_has_a_description():
    empty = solution(t=np.zeros(0), risk=np.zeros(0), status="interrupted", message="at t = 0")
    assert "no saved time" in repr(empty)
