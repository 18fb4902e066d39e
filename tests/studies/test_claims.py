"""A run is made by one process at a time, and by another once that one is dead."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from meanfield.studies import claims
from meanfield.studies.claims import claimed
from tests.studies.small import same, small
from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent.parent
HOLD = """
import sys, time
from pathlib import Path
from meanfield.studies.claims import claimed
with claimed(Path(sys.argv[1])) as mine:
    print(bool(mine), flush=True)
    time.sleep(3600)
"""


def test_one_holder_at_a_time(tmp_path):
    path = tmp_path / "claim"
    with claimed(path) as mine:
        assert mine and path.exists()
        with claimed(path) as another, claimed(tmp_path / "other") as elsewhere:
            assert another is None and elsewhere
        assert path.exists()
    assert not list(tmp_path.iterdir())
    with pytest.raises(ArithmeticError), claimed(path):
        raise ArithmeticError
    with claimed(path) as mine:
        assert mine


def test_what_is_made_is_claimed_until_it_can_be_on_disk(tmp_path, monkeypatch):
    path = tmp_path / "claim"
    with claimed(path) as mine:
        mine.keep()
    with claimed(path) as mine:
        assert mine is None
    assert path.exists()
    monkeypatch.setattr(claims, "GRACE", 0.0)
    for _ in range(2):
        with claimed(path) as mine:  # whoever had made it died before it was written
            assert mine
    assert not path.exists()


@pytest.mark.parametrize("hours", [-1, 1])
def test_clocks_that_disagree_hold_nobody_up(tmp_path, monkeypatch, hours):
    """What is made counts as claimed for a moment by the clock of whoever looks, and no longer."""
    path = tmp_path / "claim"
    with claimed(path) as mine:
        mine.keep()
    os.utime(path, (0, time.time() + 3600 * hours))
    with claimed(path) as mine:
        assert mine is None
    monkeypatch.setattr(claims, "GRACE", 0.01)
    time.sleep(0.02)
    with claimed(path) as mine:
        assert mine


def test_a_killed_holder_holds_nothing(tmp_path):
    path = tmp_path / "claim"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "True\n"
        with claimed(path) as mine:
            assert not mine
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert path.exists()
    with claimed(path) as mine:
        assert mine


def test_many_who_want_it_have_it_one_after_another(tmp_path):
    """Letting go removes the file, which those who wait may have open."""
    path, inside, most, turns = tmp_path / "claim", [], [], []

    def want():
        while len(turns) < 200:
            with claimed(path) as mine:
                if mine:
                    inside.append(1)
                    most.append(len(inside))
                    turns.append(1)
                    inside.pop()

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1


@pytest.mark.parametrize("taken", [False, True])
def test_a_claim_let_go_between_opening_and_locking(tmp_path, monkeypatch, taken):
    """What is locked then leads nowhere: the claim is made anew, unless a third has it by then."""
    path, lock, third = tmp_path / "claim", claims.fcntl.flock, ExitStack()
    holder = ExitStack()
    holder.enter_context(claimed(path))

    def late(descriptor, how):
        monkeypatch.setattr(claims.fcntl, "flock", lock)
        holder.close()
        if taken:
            assert third.enter_context(claimed(path))
        lock(descriptor, how)

    with third:
        monkeypatch.setattr(claims.fcntl, "flock", late)
        with claimed(path) as mine:
            if taken:
                assert mine is None
            else:
                assert mine.descriptor is not None and path.exists()


def test_where_files_have_no_locks_everyone_goes_on(tmp_path, monkeypatch):
    with claimed(None) as mine:
        assert mine
    with claimed(tmp_path / "no such folder" / "claim") as mine:
        assert mine

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(claims.fcntl, "flock", refuse)
    with claimed(tmp_path / "claim") as mine:
        assert mine
    monkeypatch.setattr(claims, "fcntl", None)
    with claimed(tmp_path / "claim") as mine:
        assert mine


def test_two_on_one_folder_make_every_run_once(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "GRACE", 3600.0)  # a busy disk may take its time
    made, results = tmp_path / "made", []
    made.mkdir()
    study = small(
        start={"law": "tests.studies.small:noted", "n": 8, "folder": str(made)}, replicas=3
    )

    def work():
        results.append(study.run(store=tmp_path / "store"))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(made.iterdir())) == len(study.runs) == 9
    assert len(results) == 3 and all(one.complete and same(one, results[0]) for one in results)
    assert not list((tmp_path / "store" / "claims").iterdir())


def test_what_another_is_at_is_waited_for(tmp_path, capsys):
    """And made, where the other lets go of it without a result."""
    study, store = small(replicas=1), tmp_path / "store"
    (store / "claims").mkdir(parents=True)
    key, done = study.runs[1].key, []
    runner = threading.Thread(target=lambda: done.append(study.run(store=store, progress=True)))
    with claimed(store / "claims" / key[:32]) as mine:
        assert mine
        runner.start()
        written = []
        wait_until(lambda: written.append(capsys.readouterr().err) or "waiting" in "".join(written))
        assert not done and len(list((store / "runs").glob("[!.]*"))) == 2
    runner.join()
    assert done[0].complete and same(done[0], small(replicas=1).run())
    written.append(capsys.readouterr().err)
    lines = [line for line in "".join(written).splitlines() if "waiting" in line]
    said = "waiting for 1 runs that other processes hold the claims of"
    assert lines == [f"study: {said}, {key[:12]} among them"]
