"""A run that goes on from its checkpoint equals one that was never stopped, bit for bit."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from subprocess import PIPE

import numpy as np
import pytest

import meanfield as mf
from meanfield.dynamics import checkpoint as module
from meanfield.dynamics.checkpoint import CheckpointFile
from meanfield.dynamics.sgd.runs import LawRuns, WeightsRuns
from tests.fields.cases import make_measure, make_problem

pytestmark = pytest.mark.usefixtures("interrupted_results")

PROBLEM = mf.Problem(mf.CommitteeTarget(k=2), dim=30, learning_rate=0.5, second_layer_rate=0.3)
OVERLAPS = mf.gaussian_overlaps(PROBLEM, 3, seed=1)
WEIGHTS = mf.gaussian_weights(PROBLEM, 3, seed=1)
CASES = {
    "mean_field": (mf.solve_mean_field, mf.gaussian_measure(PROBLEM, 20, seed=1), 8.0, {}),
    "overlaps": (mf.solve_overlaps, OVERLAPS, 8.0, {}),
    "flow": (mf.solve_overlaps, OVERLAPS, 8.0, {"sgd_noise": False}),
    "fluctuations": (
        mf.solve_fluctuations, mf.gaussian_overlaps(PROBLEM, 1, seed=1), 1.0,
        {"samples": 64, "rtol": 1e-3},
    ),
    "law": (mf.simulate_sgd, OVERLAPS, 8.0, {"runs": 2, "seed": 3}),
    "weights": (mf.simulate_sgd, WEIGHTS, 8.0, {"runs": 2, "batch_size": 2, "spherical": True}),
    "ends": (mf.simulate_sgd, WEIGHTS, 8.0, {"runs": 2, "keep": "ends"}),
}  # fmt: skip


def norm(t, state):
    return np.sum(state.a**2)


def stopping(count):
    """An observable that is Ctrl-C the `count`-th time it is asked."""
    asked = []

    def observable(t, state):
        asked.append(t)
        if len(asked) == count:
            raise KeyboardInterrupt
        return norm(t, state)

    return observable


def solve(case, path=None, observable=norm, **changes):
    solver, start, t_end, options = CASES[case]
    settings = {"save_at": 7, "observables": {"norm": observable}, **options, **changes}
    return solver(PROBLEM, start, t_end, checkpoint=path, **settings)


@pytest.fixture(autouse=True)
def short_interval(monkeypatch):
    monkeypatch.setattr(module, "INTERVAL", 0.0)
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    monkeypatch.setattr("meanfield.dynamics.sgd.record.CALL_DURATION", 1e-4)


@pytest.mark.parametrize("count", [2, 5, 7])
@pytest.mark.parametrize("case", CASES)
def test_a_run_goes_on_where_ctrl_c_stopped_it(case, count, tmp_path):
    path, whole = tmp_path / "run.part", solve(case)
    stopped = solve(case, path, stopping(count))
    assert stopped.status is mf.Status.INTERRUPTED and path.exists()
    assert len(stopped.t) < len(whole.t)
    resumed = solve(case, path)
    assert resumed == whole and not path.exists()
    assert resumed.stats == whole.stats


@pytest.mark.parametrize(("case", "runs"), [("law", LawRuns), ("weights", WeightsRuns)])
def test_ctrl_c_during_a_compiled_call_is_heard_after_it(case, runs, tmp_path, monkeypatch):
    """The steps of that call are made, and count."""
    path, whole, calls = tmp_path / "run.part", solve(case), []

    def advance(self, steps, rates, real=runs.advance):
        calls.append(real(self, steps, rates))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return calls[-1]

    monkeypatch.setattr(runs, "advance", advance)
    stopped = solve(case, path)
    assert stopped.status is mf.Status.INTERRUPTED and stopped.stats["steps"] > 0
    assert solve(case, path) == whole


@pytest.mark.parametrize("case", CASES)
def test_a_checkpoint_changes_nothing(case, tmp_path):
    assert solve(case, tmp_path / "run.part") == solve(case)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_half_written_goes(tmp_path):
    """Of this file alone, whatever its name is a pattern of."""
    path = tmp_path / "run[1]"
    orphan, other = tmp_path / ".run[1].abcdefgh", tmp_path / ".run1.abcdefgh"
    for each in (orphan, other):
        each.write_bytes(b"half")
    solve("flow", path)
    assert list(tmp_path.iterdir()) == [other]


def test_layouts_are_put_back(tmp_path):
    """Neurons that leave the mesh make a new one; a resumed run has it, and its count."""
    problem = make_problem("erf", "erf", D=9, kappa=1.0)
    start = make_measure(1, n=40, scale=0.1)

    def run(observable=norm, path=None):
        return mf.solve_mean_field(
            problem,
            start,
            60.0,
            save_at=12,
            evaluator="slices",
            observables={"norm": observable},
            checkpoint=path,
        )

    whole = run()
    assert whole.stats["layouts"] > 1
    for count in (4, 11):
        path = tmp_path / "run.part"
        assert run(stopping(count), path).status is mf.Status.INTERRUPTED
        assert run(path=path) == whole


def test_stopped_again_and_again(tmp_path):
    path, whole = tmp_path / "run.part", solve("law")
    for _ in range(30):
        run = solve("law", path, stopping(3))
        if run.success:
            break
    assert solve("law", path) == whole if not run.success else run == whole


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"rtol": 1e-7}, "rtol"),
        ({"save_at": 8}, "save_at"),
        ({"observables": {"other": norm}}, "observables"),
        ({"problem": PROBLEM.at_dim(31)}, "problem's dim"),
        ({"measure": mf.gaussian_measure(PROBLEM, 20, seed=2)}, "start's u"),
    ],
)
def test_another_call_is_refused(changes, named, tmp_path):
    path = tmp_path / "run.part"
    solve("mean_field", path, stopping(3))
    before = path.read_bytes()
    _, start, t_end, _ = CASES["mean_field"]
    call = {"problem": PROBLEM, "measure": start, "save_at": 7, "observables": {"norm": norm}}
    with pytest.raises(ValueError, match=r"run\.part belongs to another call") as caught:
        mf.solve_mean_field(**{**call, **changes}, t_end=t_end, checkpoint=path)
    assert named in str(caught.value)
    with pytest.raises(ValueError, match="differs in solver"):
        solve("overlaps", path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign", "flipped"])
def test_a_damaged_file_is_refused(damage, tmp_path):
    path = tmp_path / "run.part"
    solve("overlaps", path, stopping(3))
    content = path.read_bytes()
    half = len(content) // 2
    # more bytes than lie between the arrays of an archive, where none is missed
    flipped = content[:half] + bytes(b ^ 255 for b in content[half : half + 256])
    flipped += content[half + 256 :]
    path.write_bytes(
        {"cut": content[:half], "empty": b"", "foreign": b"notes", "flipped": flipped}[damage]
    )
    with pytest.raises(ValueError, match=r"run\.part is (truncated|damaged)"):
        solve("overlaps", path)


@pytest.mark.parametrize(
    ("path", "error", "match"),
    [
        (3, TypeError, "checkpoint must be the path of a file, got 3"),
        ("missing/run.part", FileNotFoundError, "checkpoint must be in a folder that exists"),
        (".", IsADirectoryError, "checkpoint must be the path of a file, got folder"),
    ],
)
def test_bad_paths(path, error, match, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for case in ("mean_field", "overlaps", "law"):
        with pytest.raises(error, match=match):
            solve(case, path)


def test_a_full_disk_is_a_warning(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.storage, "write_archive", full)
    with pytest.warns(RuntimeWarning, match=r"run\.part could not be written .*No space"):
        run = solve("overlaps", tmp_path / "run.part")
    assert run == solve("overlaps")


def test_snapshots_are_kept_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "INTERVAL", 1e3)
    file = CheckpointFile(tmp_path / "run.part", {})
    assert not file.due()
    monkeypatch.setattr(module, "INTERVAL", 0.0)
    monkeypatch.setattr(module, "PATIENCE", 1e9)
    assert CheckpointFile(tmp_path / "other.part", {}).due()


VICTIM = """
import sys
import numpy as np
import meanfield as mf
from meanfield.dynamics import checkpoint
checkpoint.INTERVAL = checkpoint.PATIENCE = 0.0
problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100, learning_rate=0.3)
kind, path, out = sys.argv[1:]
print("ready", flush=True)
if kind == "mean_field":
    start = mf.gaussian_measure(problem, 3000, seed=1)
    run = mf.solve_mean_field(problem, start, 40.0, save_at=9, rtol=1e-8, checkpoint=path)
elif kind == "overlaps":
    start = mf.gaussian_overlaps(problem, 5, seed=1)
    run = mf.solve_overlaps(problem, start, 40.0, save_at=9, rtol=1e-9, checkpoint=path)
else:
    start = mf.gaussian_overlaps(problem, 5, seed=1)
    run = mf.simulate_sgd(problem, start, 600.0, save_at=9, runs=2, checkpoint=path)
run.save(out)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("kind", ["mean_field", "overlaps", "sgd"])
def test_killed_at_random_moments(kind, tmp_path):
    """SIGKILL whenever it falls; the same command in the end gives what it would have given.

    On a machine that is less busy than it was a run may come through before: then it is given less
    time, until it has been killed three times.
    """
    script = tmp_path / "victim.py"
    script.write_text(textwrap.dedent(VICTIM))
    chance = random.Random(kind)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}

    def command(path, out):
        return [sys.executable, str(script), kind, str(path), str(out)]

    def finish(path, out):
        with subprocess.Popen(command(path, out), env=environment, stdout=PIPE) as process:
            process.stdout.readline()
            started = time.perf_counter()
            assert process.wait() == 0
        return mf.load(out), time.perf_counter() - started

    finish(tmp_path / "first.part", tmp_path / "first.npz")  # compiles what is not compiled yet
    whole, duration = finish(tmp_path / "whole.part", tmp_path / "whole.npz")
    path, out, killed = tmp_path / "run.part", tmp_path / "run.npz", 0
    while killed < 3:
        with subprocess.Popen(command(path, out), env=environment, stdout=PIPE) as process:
            process.stdout.readline()
            with suppress(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0.05, 0.6) * duration)
            killed += process.poll() is None
            process.kill()
        if out.exists():
            assert mf.load(out) == whole
            out.unlink()
            duration /= 2.0
    assert finish(path, out)[0] == whole
    assert sorted(file.name for file in tmp_path.glob("*.part")) == []
