"""A small study that many tests use, and functions for it to call."""

import os
import signal
import threading
import time
import uuid
from functools import partialmethod
from pathlib import Path

import numpy as np

import meanfield as mf
from meanfield.dynamics.sgd.runs import LawRuns
from tests.waiting import PATIENCE

drawn: list[int] = []  # by `endless`, in this process


def small(**changes):
    settings = {
        "problem": mf.Problem(mf.CommitteeTarget(k=1)),
        "start": {"law": "gaussian_measure", "n": 8},
        "solver": {"description": "mean_field", "t_end": 0.2, "save_at": 3},
        "grid": {"problem.dim": [10, 20, 40]},
        "replicas": 2,
    }
    return mf.Study(**(settings | changes))


def same(one, other):
    """Bit for bit, all that is not about time."""
    assert one.study == other.study
    for mine, theirs in zip(one.records, other.records, strict=True):
        assert (mine.key, mine.status, mine.message) == (theirs.key, theirs.status, theirs.message)
        assert mine.parameters == theirs.parameters and mine.versions == theirs.versions
        assert mine.stats == theirs.stats
        assert mine.arrays.keys() == theirs.arrays.keys()
        for name, array in mine.arrays.items():
            assert array.tobytes() == theirs.arrays[name].tobytes(), name
    return True


def product(z):
    return z[:, 0] * z[:, 1]


def swish(x):
    return x / (1.0 + np.exp(-x))


def final_length(solution):
    """A reducing function."""
    return float(np.sqrt((solution.final.u**2).sum()))


def two_numbers(solution):
    return {"first": solution.risk[0], "both": solution.risk[[0, -1]]}


def names_of_parts(solution):
    return {"seal": solution.risk[-1]}


def no_number(solution):
    return "nothing"


def fragile(problem, n: int, seed: int = 0):
    """A start that fails in 20 dimensions, until the machine is mended."""
    if problem.dim == 20 and "MACHINE_IS_MENDED" not in os.environ:
        raise ArithmeticError("no start in 20 dimensions")
    return mf.gaussian_measure(problem, n, seed=seed)


def deadly(problem, n: int, seed: int = 0):
    """A start that kills its process in 20 dimensions, until the machine is mended."""
    if problem.dim == 20 and "MACHINE_IS_MENDED" not in os.environ:
        os.kill(os.getpid(), signal.SIGKILL)
    return mf.gaussian_measure(problem, n, seed=seed)


def leaving(problem, n: int, seed: int = 0):
    if problem.dim == 20:
        raise SystemExit("20 dimensions are too many")
    return mf.gaussian_measure(problem, n, seed=seed)


def interrupted(problem, n: int, seed: int = 0):
    if problem.dim == 20:
        raise KeyboardInterrupt
    return mf.gaussian_measure(problem, n, seed=seed)


def slow(problem, n: int, wait: float = 0.0, seed: int = 0):
    """A start that takes its time."""
    time.sleep(wait)
    return mf.gaussian_measure(problem, n, seed=seed)


def endless(problem, n: int, first: int = 0, seed: int = 0):
    """A start that takes hours, but for the first ones in a process, until the machine is mended.

    It leaves a sign that it is asked for.
    """
    if "MACHINE_IS_MENDED" not in os.environ:
        Path(os.environ["HAS_BEGUN"]).touch()
        drawn.append(seed)
        if len(drawn) > first:
            time.sleep(10 * PATIENCE)
    return mf.gaussian_measure(problem, n, seed=seed)


def noted(problem, n: int, folder: str, seed: int = 0):
    """A start that takes its time, and leaves a file for every time it is made."""
    (Path(folder) / f"{problem.dim} {seed} {uuid.uuid4()}").touch()
    time.sleep(0.02)
    return mf.gaussian_measure(problem, n, seed=seed)


def told_to_end(problem, p: int, folder: str, seed: int = 0):
    """A start whose process has SIGTERM a moment later, in the run, the first time."""
    start = mf.gaussian_overlaps(problem, p, seed=seed)
    mf.simulate_sgd(problem, start, 1.0, save_at=2)
    if not (sign := Path(folder) / "told").exists():
        sign.touch()
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    return start


def seen_at_work(problem, p: int, seed: int = 0):
    """A start whose run leaves a sign in its first steps."""
    LawRuns.advance = partialmethod(_noted, LawRuns.advance)
    return mf.gaussian_overlaps(problem, p, seed=seed)


def _noted(runs, advance, steps, rates):
    Path(os.environ["HAS_BEGUN"]).touch()
    return advance(runs, steps, rates)
