"""What each rank of MPI does: `python -m tests.parallel.script CASE FOLDER [WHAT]`.

It leaves its neurons in the folder, or what ended it. "long": some seconds with many checkpoints,
for somebody to end it in between; each rank leaves its number of process after the first step.
"still": the same, but no checkpoint is due. "fails": an average raises on the last rank.
"""

import os
import sys
from pathlib import Path

import numpy as np
from mpi4py import MPI

from meanfield.dynamics import checkpoint
from meanfield.parallel.rank_checkpoint import RankCheckpoint
from tests.parallel.ranks import solve

LONG = {"n": 5_000, "t_end": 20.0, "rtol": 1e-8}


def fails(t, part):
    if t > 0.0 and comm.rank == comm.size - 1:
        raise ArithmeticError("no average here")
    return 0.0


def noted(self, load=RankCheckpoint.load):
    snapshot = load(self)
    resumed.append(-1 if snapshot is None else snapshot.header["now"]["steps"])
    return snapshot


def at_work(self, due=RankCheckpoint.due):
    if not (folder / f"{comm.rank}.pid").exists():
        beginning = folder / f"{comm.rank}.begins"
        beginning.write_text(str(os.getpid()))
        beginning.rename(folder / f"{comm.rank}.pid")
    return due(self)


resumed = []  # the step from which this solve went on
comm = MPI.COMM_WORLD
case, folder, what = sys.argv[1], Path(sys.argv[2]), "".join(sys.argv[3:])
options = {}
if what == "fails":
    options = {"averages": {"x": fails}}
elif what:
    checkpoint.INTERVAL, checkpoint.PATIENCE = (1e9 if what == "still" else 0.05), 1.0
    options = LONG | {"checkpoint": folder / "run"}
    RankCheckpoint.load, RankCheckpoint.due = noted, at_work
try:
    solution = solve(case, comm, **options)
except Exception as error:
    said = [type(error).__name__, str(error), *getattr(error, "__notes__", [])]
    (folder / f"{comm.rank}.txt").write_text("\n".join(said))
    raise
final = solution.final
np.savez(
    folder / f"{comm.rank}.npz", a=final.a, u=final.u, r=final.r, risk=solution.risk,
    square=solution.observables.get("square", 0.0), status=str(solution.status),
    ranks=solution.stats["ranks"], steps=solution.stats["steps"],
    resumed=max(resumed, default=-1),
)  # fmt: skip
