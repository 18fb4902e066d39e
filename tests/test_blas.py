"""Linear algebra on one thread, put back as it was."""

import math
import os

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import meanfield as mf
from meanfield.blas import one_blas_thread
from meanfield.dynamics.fluctuations.sample import StepSample
from meanfield.fields.slices import layouts


def threads_of_blas():
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


@pytest.mark.skipif(
    os.environ["OMP_NUM_THREADS"] != "1" or "OPENBLAS_NUM_THREADS" in os.environ,
    reason="whoever runs the tests wants another number",
)
def test_tests_run_on_one():
    """`conftest` came before the BLAS; otherwise all is right, and takes several times as long."""
    assert threads_of_blas() == {1}


@pytest.fixture
def three_threads():
    with threadpool_limits(3, "blas"):
        if threads_of_blas() != {3}:
            pytest.skip("this BLAS has a number of threads of its own")
        yield


def test_one_inside_and_as_before_outside(three_threads):
    with one_blas_thread():
        assert threads_of_blas() == {1}
    assert threads_of_blas() == {3}


def test_layouts_are_made_on_one(three_threads, monkeypatch):
    seen = []
    rule = layouts.half_sphere_rule
    monkeypatch.setattr(
        layouts, "half_sphere_rule", lambda *a: seen.append(threads_of_blas()) or rule(*a)
    )
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=10)
    assert layouts.lay_out(problem, 1.0, 1.0, 0) is not None
    assert seen == [{1}]
    assert threads_of_blas() == {3}


def test_fluctuations_are_solved_on_one(three_threads, monkeypatch):
    seen, at = set(), StepSample.at
    monkeypatch.setattr(StepSample, "at", lambda *a: seen.update(threads_of_blas()) or at(*a))
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100, learning_rate=1.0)
    start = mf.Overlaps([[1.0]], [[0.3]], [[1.0]], [1.0])
    mf.solve_fluctuations(problem, start, 0.1, save_at=2)
    assert seen == {1}
    assert threads_of_blas() == {3}


@pytest.mark.parametrize("solve", [mf.solve_mean_field, mf.parallel.solve_mean_field])
def test_mean_fields_are_solved_on_one(three_threads, solve):
    seen = set()

    def look(t, measure):
        seen.update(threads_of_blas())
        return 0.0

    problem = mf.Problem(mf.CommitteeTarget(k=1), "relu", dim=math.inf)
    name = "averages" if solve is mf.parallel.solve_mean_field else "observables"
    solve(problem, mf.gaussian_measure(problem, n=4), 0.1, save_at=2, **{name: {"look": look}})
    assert seen == {1}
    assert threads_of_blas() == {3}
