"""What ranks of MPI tell one another: sums and largest values, the same on all of them."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FEW = 64  # numbers that are summed exactly, whatever the order of ranks


class Communicator(Protocol):
    """What is used of an mpi4py communicator."""

    @property
    def rank(self) -> int:
        """Number of this rank."""

    @property
    def size(self) -> int:
        """How many ranks there are."""

    def allgather(self, sendobj: Any) -> list[Any]:
        """What each rank gave, in their order, on every rank."""

    def Allreduce(self, sendbuf: Any, recvbuf: Any) -> None:
        """Sum arrays over the ranks."""


class Ranks:
    """Reductions over a communicator; without one, this process is all there is.

    Decisions rest on `total` of a few numbers and on `largest`, which are the same on every rank to
    the last bit and do not depend on the order of the ranks: all of them take the same steps.

    Parameters
    ----------
    comm : Communicator, optional
    """

    def __init__(self, comm: Communicator | None = None):
        self.comm = comm
        self.rank, self.size = (0, 1) if comm is None else (comm.rank, comm.size)
        self.reductions = 0
        self.bytes = 0

    def total(self, values: Array) -> Array:
        """Sum of an array over the ranks."""
        if self.comm is None:
            return values
        self._count(values)
        if values.size > FEW:
            out = np.empty_like(values)
            self.comm.Allreduce(np.ascontiguousarray(values), out)
            return out
        rows = self.comm.allgather(values.ravel().tolist())
        sums = [_sum(column) for column in zip(*rows, strict=True)]
        return np.array(sums).reshape(values.shape)

    def largest(self, *values: float) -> list[float]:
        """Largest of each value over the ranks; NaN counts as infinite."""
        sizes = [math.inf if math.isnan(value) else float(value) for value in values]
        if self.comm is None:
            return sizes
        self._count(np.array(sizes))
        return [max(column) for column in zip(*self.comm.allgather(sizes), strict=True)]

    def everyones(self, thing: Any) -> list[Any]:
        """What each rank has to say, in their order."""
        return [thing] if self.comm is None else self.comm.allgather(thing)

    def together(self, *arrays: Array) -> list[Array]:
        """Arrays of all ranks one after another, in their order."""
        if self.comm is None:
            return list(arrays)
        for array in arrays:
            self._count(array)
        return [np.concatenate(parts) for parts in zip(*self.comm.allgather(arrays), strict=True)]

    def _count(self, values: Array) -> None:
        self.reductions += 1
        self.bytes += values.nbytes


def _sum(column: tuple[float, ...]) -> float:
    """Exactly rounded; NaN and infinity as plain addition has them."""
    return math.fsum(column) if all(map(math.isfinite, column)) else float(np.sum(column))
