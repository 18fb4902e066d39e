"""Killed at any moment, a study started again ends as if nothing had happened."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from meanfield.dynamics import checkpoint
from meanfield.studies import read_results
from tests.studies.small import same, small
from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).parent.parent.parent
KILLS = 21
TOML = """
problem.target.k = 1
start = { law = "tests.studies.small:endless", n = 8, first = 1 }
solver = { description = "mean_field", t_end = 0.2, save_at = 3 }
grid."problem.dim" = [10, 20, 40]
replicas = 8
"""


def mixed():
    """Short runs, and long ones that are rarely through before the next blow."""
    return small(
        start={"law": "tests.studies.small:slow", "n": 8, "wait": 0.02},
        grid={"case": [
            {"problem.dim": 10},
            {
                "problem.dim": 20, "start.n": 600,
                "solver": {"description": "mean_field", "t_end": 40.0, "save_at": 5},
            },
            {
                "problem.dim": 30, "problem.learning_rate": 0.5,
                "start": {"law": "gaussian_overlaps", "p": 2},
                "solver": {"description": "sgd", "t_end": 7e3, "save_at": 10},
            },
        ]},
        observables=["risk", "energy", "leak"],
        replicas=3,
    )  # fmt: skip


def work(folder):
    """In a process of its own, with checkpoints a few hundredths of a second apart."""
    checkpoint.INTERVAL, checkpoint.PATIENCE = 0.03, 1.0
    mixed().run(store=folder)


@pytest.fixture(scope="module")
def spawn():
    """Start `work` in a process that has imported everything and run nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["meanfield", __name__])

    def start(folder):
        process = context.Process(target=work, args=(folder,))
        process.start()
        return process

    return start


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return mixed().run(store=tmp_path_factory.mktemp("undisturbed") / "store")


@pytest.mark.slow
def test_killed_at_random_moments(spawn, undisturbed, tmp_path):
    kills, finished, rng = 0, 0, random.Random(1)
    folder = tmp_path / "0"
    while kills < KILLS:
        process = spawn(folder)
        process.join(rng.uniform(0.0, 1.2))
        if process.is_alive():
            process.kill()
            process.join()
            kills += 1
        else:
            assert process.exitcode == 0
            assert same(read_results(folder), undisturbed)
            finished += 1
            folder = tmp_path / str(finished)
    mixed().run(store=folder)
    assert same(read_results(folder), undisturbed)
    assert not left_behind(folder)


def test_killed_in_the_middle_of_runs(spawn, undisturbed, tmp_path):
    """Five times as soon as a run has left a checkpoint, however fast the machine."""
    for _ in range(5):
        process = spawn(tmp_path)
        before = left_behind(tmp_path)
        while process.is_alive() and left_behind(tmp_path) in ([], before):
            time.sleep(0.002)
        process.kill()
        process.join()
    mixed().run(store=tmp_path)
    assert same(read_results(tmp_path), undisturbed)


def left_behind(folder):
    """Names and ages of the checkpoints in a store."""
    found = []
    for path in (folder / "checkpoints").glob("[!.]*"):
        with suppress(FileNotFoundError):  # removed since, by a run that is through
            found.append((path.name, path.stat().st_mtime_ns))
    return sorted(found)


def test_two_at_once_share_the_work(spawn, undisturbed, tmp_path):
    processes = [spawn(tmp_path / "store") for _ in range(2)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert same(read_results(tmp_path / "store"), undisturbed)


@pytest.mark.slow
def test_the_command_killed_with_its_workers_at_work(tmp_path, monkeypatch):
    (tmp_path / "study.toml").write_text(TOML)
    command = [sys.executable, "-m", "meanfield", "study", str(tmp_path / "study.toml"),
               "--out", str(tmp_path / "out"), "--workers", "2"]  # fmt: skip
    runs = tmp_path / "out" / "runs"
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, "HAS_BEGUN": str(tmp_path / "begun")},
    )  # fmt: skip
    wait_until(lambda: list(runs.glob("*.npz")), process)
    process.kill()
    process.wait()
    wait_until(lambda: not alive_in_session(process.pid))  # workers do not outlive it
    assert 1 <= len(list(runs.glob("*.npz"))) <= 2  # one a worker
    monkeypatch.setenv("MACHINE_IS_MENDED", "1")
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    results = read_results(tmp_path / "out")
    assert results.complete and same(results, results.study.run())


def alive_in_session(session):
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            return True
    return False


def begun(folder, *options):
    """The command at work on the study in a folder, once the sign is there that it has begun."""
    command = [sys.executable, "-m", "meanfield", "study", str(folder / "study.toml"),
               "--out", str(folder / "out"), "--workers", "1", *options]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, env={**os.environ, "HAS_BEGUN": str(folder / "begun")},
    )  # fmt: skip
    wait_until((folder / "begun").exists, process)
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_command_at_once(tmp_path, number, code):
    (tmp_path / "study.toml").write_text(TOML.replace("first = 1", "first = 0"))
    process = begun(tmp_path)
    os.kill(process.pid, number)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == code
    assert "24 missing" in output and "Traceback" not in output


LONG = """
problem = { target = { k = 1 }, dim = 10, learning_rate = 0.5 }
start = { law = "tests.studies.small:seen_at_work", p = 2 }
solver = { description = "sgd", t_end = 1e9, save_at = 3 }
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "end"),
    [
        ("serial", subprocess.Popen.terminate), ("process", subprocess.Popen.terminate),
        ("process", lambda process: os.killpg(process.pid, signal.SIGTERM)),
    ],
    ids=["serial", "process", "process, workers too"],
)  # fmt: skip
def test_sigterm_leaves_a_checkpoint_in_every_engine(tmp_path, engine, end):
    """A batch system may send it to the command, or to all its processes at once."""
    (tmp_path / "study.toml").write_text(LONG)
    process = begun(tmp_path, "--executor", engine)
    end(process)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143 and "stopped: interrupted" in output
    assert len(list((tmp_path / "out" / "checkpoints").iterdir())) == 1, output
    assert "Traceback" not in output
