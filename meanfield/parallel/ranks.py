"""What ranks of MPI tell one another: sums and largest values, the same on all; and errors."""

from __future__ import annotations

import builtins
import math
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from meanfield.integrate.interrupts import terminate

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


class RemoteError(NamedTuple):
    """What a rank sends in place of what the others wait for: the error that ended it."""

    kind: str
    text: str

    def error(self, rank: int) -> Exception:
        """The same error, on a rank that has not met it."""
        kind = getattr(builtins, self.kind, None)
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            kind = RuntimeError
        error: Exception = kind(self.text)
        error.add_note(f"raised on rank {rank}")
        vars(error)["remote"] = True
        return error


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
        self.signal = 0  # the number of the signal by which this rank was asked to end

    def total(self, values: Array) -> Array:
        """Sum of an array over the ranks."""
        if self.comm is None:
            return values
        self._count(values)
        if values.size > FEW:
            self.gathered(None)  # that all of them come to this sum
            out = np.empty_like(values)
            self.comm.Allreduce(np.ascontiguousarray(values), out)
            return out
        rows = self.gathered(values.ravel().tolist())
        sums = [_sum(column) for column in zip(*rows, strict=True)]
        return np.array(sums).reshape(values.shape)

    def largest(self, *values: float) -> list[float]:
        """Largest of each value over the ranks; NaN counts as infinite."""
        sizes = [math.inf if math.isnan(value) else float(value) for value in values]
        if self.comm is None:
            return sizes
        self._count(np.array(sizes))
        return [max(column) for column in zip(*self.gathered(sizes), strict=True)]

    def gathered(self, thing: Any) -> list[Any]:
        """What each rank has to say, in their order; an error of one is raised on all."""
        if self.comm is None:
            return [thing]
        everything = self.comm.allgather(thing)
        for rank, each in enumerate(everything):
            if isinstance(each, RemoteError):
                raise each.error(rank)
        return everything

    def concatenated(self, *arrays: Array) -> list[Array]:
        """Arrays of all ranks one after another, in their order."""
        if self.comm is None:
            return list(arrays)
        for array in arrays:
            self._count(array)
        return [np.concatenate(parts) for parts in zip(*self.gathered(arrays), strict=True)]

    @contextmanager
    def sharing_errors(self) -> Iterator[None]:
        """What one rank raises inside is raised by all, and nobody leaves before all are well."""
        try:
            with self._signals():
                yield
                self.gathered(None)
        except Exception as error:
            if self.comm is None or vars(error).get("remote"):
                raise
            errors = self.comm.allgather(RemoteError(type(error).__name__, str(error)))
            first = next(rank for rank, each in enumerate(errors) if isinstance(each, RemoteError))
            if first == self.rank:
                raise
            raise errors[first].error(first) from error

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM are noted: one rank alone must not leave the sums of the others."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        main = threading.current_thread() is threading.main_thread()
        before = {n: signal.getsignal(n) for n in numbers if main and self.comm is not None}
        for number in before:
            signal.signal(number, self._note_signal)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note_signal(self, number: int, frame: Any) -> None:
        self.signal = number

    def raise_signal(self, number: float) -> None:
        """Raise on all ranks what a signal to one of them asks for: the largest number, or 0."""
        if number == signal.SIGTERM:
            terminate()
        if number:
            raise KeyboardInterrupt

    def check_same(self, call: Mapping[str, str]) -> None:
        """Refuse calls that differ between ranks; the message says in what."""
        calls = self.gathered(dict(call))
        for rank, theirs in enumerate(calls):
            for name, value in calls[0].items():
                if theirs.get(name) != value:
                    raise ValueError(
                        f"{name} must be the same on all ranks: rank 0 has {value:.200}, "
                        f"rank {rank} has {theirs.get(name, 'none'):.200}"
                    )

    def _count(self, values: Array) -> None:
        self.reductions += 1
        self.bytes += values.nbytes


def _sum(column: tuple[float, ...]) -> float:
    """Exactly rounded; NaN and infinity as plain addition has them."""
    return math.fsum(column) if all(map(math.isfinite, column)) else float(np.sum(column))
