"""Ranks of MPI killed at random moments: the solve goes on, and ends as if nothing had happened.

    python -m benchmarks.kills [--kills 100] [--ranks 2] [--seed 0]

A solve on ranks under mpiexec is killed (SIGKILL to one rank, or to all and mpiexec at once), and
started again, until it is through; then the next one begins. Each must end with the neurons, the
risk and the averages of an undisturbed solve, bit for bit. How far checkpoints had come is said, to
show that solves went on and did not begin again.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from meanfield.storage import read_archive

# beside this Python first: another MPI would not be the one that mpi4py was built for
MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
ROOT = Path(__file__).parent.parent


def begun(folder: Path, ranks: int, case: str = "erf", what: str = "long") -> subprocess.Popen[str]:
    """A solve under mpiexec whose ranks have all begun, or that has ended already."""
    assert MPIEXEC is not None, "no mpiexec here: pip install '.[mpi]'"
    for path in folder.glob("*.pid"):
        path.unlink()
    process = subprocess.Popen(
        [MPIEXEC, "-n", str(ranks), sys.executable, "-m", "tests.parallel.script", case,
         str(folder), what],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    while process.poll() is None and len(list(folder.glob("*.pid"))) < ranks:
        time.sleep(0.01)
    return process


def processes(folder: Path) -> list[int]:
    """Numbers of the ranks' processes, in their order."""
    return [int(path.read_text()) for path in sorted(folder.glob("*.pid"))]


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process, if it is there still."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def found(folder: Path, ranks: int) -> list[dict[str, Any]]:
    """What the ranks of a solve that is through have left."""
    return [dict(np.load(folder / f"{rank}.npz")) for rank in range(ranks)]


def same(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    """Bit for bit, all but where they went on from."""
    return all(
        mine[name].tobytes() == theirs[name].tobytes()
        for mine, theirs in zip(one, other, strict=True) for name in mine if name != "resumed"
    )  # fmt: skip


def reached(folder: Path) -> int:
    """The latest step that all ranks have in a checkpoint; -1 if there is none.

    The first rank's file is put in its place once all have written theirs.
    """
    steps = [-1]
    for path in folder.glob("run.0-of-*[0-9]"):
        with suppress(FileNotFoundError):  # renamed since, by ranks at work
            header, _ = read_archive(path, "meanfield-checkpoint")
            steps.append(int(header["snapshot"]["now"]["steps"]))
    return max(steps)


def strike(process: subprocess.Popen[str], folder: Path, rng: random.Random) -> str:
    """Kill some of a solve's processes, and see that all of them are gone; says which."""
    pids = processes(folder)
    victim = rng.choice(["first", "last", "all"])
    struck = {"first": pids[:1], "last": pids[-1:], "all": [*pids, process.pid]}[victim]
    for pid in struck:
        kill(pid)
    process.communicate()
    for pid in pids:  # whom mpiexec did not end with the others
        kill(pid)
    return victim


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, kills, wrong, through = random.Random(options.seed), Counter[str](), 0, 0
    steps: list[int] = []
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "whole"
        whole.mkdir()
        process = begun(whole, options.ranks)
        started = time.monotonic()
        process.communicate()
        duration = time.monotonic() - started
        expected = found(whole, options.ranks)
        print(f"undisturbed: {duration:.1f} s, {int(expected[0]['steps'])} steps", flush=True)
        while kills.total() < options.kills:
            folder = Path(scratch) / str(through)
            folder.mkdir()
            while True:
                process = begun(folder, options.ranks)
                if kills.total() < options.kills:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(rng.uniform(0.0, 0.5 * duration))
                    if len(list(folder.glob("*.npz"))) < options.ranks:
                        kills[strike(process, folder, rng)] += 1
                        steps.append(reached(folder))
                        continue
                output, _ = process.communicate()
                break
            left = [path.name for path in folder.iterdir() if "run" in path.name]
            through += 1
            if process.returncode or left or not same(found(folder, options.ranks), expected):
                wrong += 1
                print(f"wrong: {process.returncode}, {left}, {output[-500:]}", flush=True)
            print(f"{kills.total()} kills, {through} solves through, {wrong} wrong", flush=True)
    kept = [step for step in steps if step >= 0]
    print(
        f"{kills.total()} kills ({dict(kills)}) of {options.ranks} ranks: {through} solves came "
        f"through, {wrong} of them wrong; {len(kept)} kills left a checkpoint, at step "
        f"{np.median(kept):.0f} in the median"
    )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
