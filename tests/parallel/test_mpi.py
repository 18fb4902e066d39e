"""Ranks of a real MPI: agreeing, failing, killed and told to end."""

import signal
from importlib.util import find_spec

import numpy as np
import pytest

from benchmarks.kills import MPIEXEC, begun, found, kill, processes, reached, same
from tests.parallel.test_parallel import ROUNDING, whole
from tests.waiting import PATIENCE, wait_until

pytestmark = [
    pytest.mark.mpi,
    pytest.mark.extra,
    pytest.mark.skipif(
        find_spec("mpi4py") is None or MPIEXEC is None,
        reason="mpi4py or mpiexec is not installed: pip install '.[mpi]'",
    ),
]


def through(folder, ranks, case="erf", what="long"):
    """What a solve leaves that nobody disturbs any more."""
    process = begun(folder, ranks, case, what)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    return found(folder, ranks)


def at_work(folder, ranks):
    """A solve that has just left a checkpoint of its own."""
    before = reached(folder)
    process = begun(folder, ranks)
    wait_until(lambda: reached(folder) > before, process)
    return process


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return through(tmp_path_factory.mktemp("undisturbed"), 2)


def test_ranks_agree_with_one_process(tmp_path):
    reference = whole("two directions")
    parts = through(tmp_path, 2, "two directions", "")
    assert [int(part["ranks"]) for part in parts] == [2, 2]
    u = np.concatenate([part["u"] for part in parts])
    np.testing.assert_allclose(u, reference.final.u, rtol=ROUNDING, atol=ROUNDING)
    for part in parts:
        assert str(part["status"]) == "success"
        assert part["risk"].tobytes() == parts[0]["risk"].tobytes()
        np.testing.assert_allclose(part["risk"], reference.risk, rtol=1e-11)


def test_killed_ranks_go_on_bit_for_bit(tmp_path, undisturbed):
    """One rank, the other, then all of them and mpiexec; `python -m benchmarks.kills` has more."""
    steps = []
    for victims in ([0], [1], [0, 1]):
        process = at_work(tmp_path, 2)
        pids = processes(tmp_path)
        for pid in [pids[i] for i in victims] + [process.pid] * (len(victims) > 1):
            kill(pid)
        process.communicate(timeout=PATIENCE)
        for pid in pids:  # whom mpiexec did not end with the others
            kill(pid)
        steps.append(reached(tmp_path))
    assert steps == sorted(set(steps)) and steps[0] > 0
    parts = through(tmp_path, 2)
    assert int(parts[0]["resumed"]) >= steps[-1] and same(parts, undisturbed)
    assert not [path for path in tmp_path.iterdir() if "run" in path.name]


def test_sigterm_to_one_rank_ends_all_and_another_number_goes_on(tmp_path, undisturbed):
    process = begun(tmp_path, 2, what="still")  # leaves no checkpoint but for a signal
    kill(processes(tmp_path)[1], signal.SIGTERM)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143, output
    before = reached(tmp_path)
    assert 0 < before < int(undisturbed[0]["steps"]) and len(list(tmp_path.glob("run.*"))) == 2
    assert not list(tmp_path.glob("*.npz")) + list(tmp_path.glob("*.txt"))
    parts = through(tmp_path, 3)
    assert int(parts[0]["resumed"]) >= before
    for name in ("a", "u", "r"):
        mine, theirs = (np.concatenate([p[name] for p in ps]) for ps in (parts, undisturbed))
        np.testing.assert_allclose(mine, theirs, rtol=ROUNDING, atol=ROUNDING)
    np.testing.assert_allclose(parts[0]["risk"], undisturbed[0]["risk"], rtol=1e-11)


def test_what_one_rank_raises_ends_all_with_the_same_error(tmp_path):
    process = begun(tmp_path, 2, what="fails")
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    ends = [(tmp_path / f"{rank}.txt").read_text().splitlines() for rank in (0, 1)]
    assert ends[0][:2] == ends[1][:2] == ["ArithmeticError", "no average here"]
    assert "raised on rank 1" in ends[0] and "no average here" in output
