"""What each rank of MPI does in the tests: `python script.py CASE FOLDER`."""

import sys

import numpy as np
from mpi4py import MPI

from tests.parallel.ranks import solve

case, folder = sys.argv[1:]
comm = MPI.COMM_WORLD
solution = solve(case, comm)
final = solution.final
np.savez(
    f"{folder}/{comm.rank}.npz", u=final.u, r=final.r, risk=solution.risk,
    square=solution.observables["square"], status=str(solution.status),
    ranks=solution.stats["ranks"],
)  # fmt: skip
