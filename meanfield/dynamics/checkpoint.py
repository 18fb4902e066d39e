"""One file that a run leaves behind at intervals, from which the same call goes on bit for bit.

What decides the last bits beside the call is the machine: the processor, and who computes on it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numba
import numpy as np
import scipy.linalg  # noqa: F401  its BLAS is found only once it is loaded
from threadpoolctl import threadpool_info

from meanfield import storage
from meanfield._version import __version__
from meanfield.dynamics.state_series import StateSeries
from meanfield.integrate.records import Snapshot
from meanfield.problem import Problem
from meanfield.states import Overlaps, ParticleMeasure, Weights
from meanfield.storage import PathLike

CHECKPOINT_FORMAT = "meanfield-checkpoint"
INTERVAL = 15.0  # seconds between snapshots,
PATIENCE = 30.0  # and at least this many times what writing one takes
ANYWHERE = "MEANFIELD_RESUME_ANYWHERE"


@cache
def machine() -> dict[str, str]:
    """Processor, its features, and the libraries whose rounding differs, as words."""
    features = sorted(name for name, there in llvm.get_host_cpu_features().items() if there)
    blas = {f"{one['internal_api']} {one['version']}" for one in threadpool_info()
            if one["user_api"] == "blas"}  # fmt: skip
    return {
        "processor": f"{platform.machine()} {llvm.get_host_cpu_name()}",
        "features": hashlib.sha256(",".join(features).encode()).hexdigest()[:12],
        "numpy": np.__version__,
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "blas": ", ".join(sorted(blas)),
    }


def differing(theirs: Mapping[str, str]) -> list[str]:
    """In what another machine differs, as "numba 0.61 there, 0.62 here"; nothing if unknown."""
    mine = machine()
    return [
        f"{name} {theirs[name]} there, {mine[name]} here"
        for name in mine
        if name in theirs and theirs[name] != mine[name]
    ]


def resumes_anywhere() -> bool:
    """Whether the user has said that a run may go on where it rounds otherwise."""
    return os.environ.get(ANYWHERE, "") not in ("", "0")


def describe_call(
    solver: str,
    problem: Problem,
    start: ParticleMeasure | Overlaps | Weights | StateSeries[Any],
    settings: Mapping[str, Any],
) -> dict[str, str]:
    """Everything that decides the numbers of a run, each part as a short text."""
    fields = start.varying | start.fixed if isinstance(start, StateSeries) else vars(start)
    arrays = {name: value for name, value in fields.items() if name != "origin"}
    parts: dict[str, Any] = {"solver": solver, "version": __version__}
    parts |= {f"problem's {name}": value for name, value in problem.parameters().items()}
    parts |= {f"start's {name}": _digest(value) for name, value in arrays.items()}
    parts |= settings
    return {name: _text(value) for name, value in parts.items()}


class CheckpointFile:
    """See `meanfield.integrate.records.Checkpoint`.

    Parameters
    ----------
    path : str or path
        The file. Its folder must exist.
    call : mapping
        From `describe_call`: a file of another call is refused.
    outside, restore : callable, optional
        Give and take back what the right-hand side keeps to itself, as plain numbers.
    """

    def __init__(
        self,
        path: PathLike,
        call: Mapping[str, str],
        outside: Callable[[], dict[str, Any]] = dict,
        restore: Callable[[dict[str, Any]], None] = lambda state: None,
    ):
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"checkpoint must be the path of a file, got {path!r}")
        self.path, self.call = Path(path), dict(call)
        self.outside, self.restore = outside, restore
        folder = self.path.parent
        if self.path.is_dir():
            raise IsADirectoryError(f"checkpoint must be the path of a file, got folder {path}")
        if not folder.is_dir():
            raise FileNotFoundError(f"checkpoint must be in a folder that exists, got {path}")
        if not os.access(folder, os.W_OK):
            raise PermissionError(f"checkpoint must be in a folder to write in, got {path}")
        self.next = time.monotonic() + INTERVAL

    def load(self) -> Snapshot | None:
        """The snapshot in the file, None if there is no file; refuses another call's."""
        storage.remove_orphans(self.path.parent, self.path.name)
        return self.read(self.path)

    def read(self, path: Path) -> Snapshot | None:
        """The snapshot in a file of this call."""
        if not path.exists():
            return None
        header, arrays = storage.read_archive(path, CHECKPOINT_FORMAT)
        theirs = header["call"]
        names = {**theirs, **self.call}
        other = [name for name in names if theirs.get(name) != self.call.get(name)]
        if other:
            raise ValueError(
                f"checkpoint {path} belongs to another call: it differs in "
                f"{', '.join(other)}; remove the file, or name another, to start afresh"
            )
        if (elsewhere := differing(header.get("machine", {}))) and not resumes_anywhere():
            raise ValueError(
                f"checkpoint {path} was made by a machine that rounds otherwise ("
                f"{'; '.join(elsewhere)}): the result would be neither's; go on there, remove the "
                f"file to start afresh, or set {ANYWHERE}=1 to go on all the same"
            )
        return Snapshot(header["snapshot"], arrays)

    def due(self) -> bool:
        """Whether it is time for another snapshot."""
        return time.monotonic() >= self.next

    def save(self, snapshot: Snapshot) -> None:
        """Replace the file, whole; where it cannot be written the run goes on with a warning."""
        self.write(self.path, snapshot)

    def write(self, path: Path, snapshot: Snapshot) -> bool:
        """Put a snapshot into a file, and say whether it could be written."""
        started, written = time.monotonic(), True
        header = {"call": self.call, "snapshot": snapshot.header, "machine": machine()}
        try:
            storage.write_archive(path, CHECKPOINT_FORMAT, header, snapshot.arrays)
        except OSError as error:
            written = False
            warnings.warn(
                f"checkpoint {self.path} could not be written ({error}); the run goes on",
                RuntimeWarning,
                stacklevel=2,
            )
        now = time.monotonic()
        self.next = now + max(INTERVAL, PATIENCE * (now - started))
        return written

    def remove(self) -> None:
        """The run is over: there is nothing to go on from."""
        self.path.unlink(missing_ok=True)


def _digest(value: Any) -> str:
    if value is None:
        return "none"
    array = np.ascontiguousarray(value)
    return hashlib.sha256(
        repr((array.shape, array.dtype.str)).encode() + array.tobytes()
    ).hexdigest()


def _text(value: Any) -> str:
    """A part of the call as text; long arrays by their digest."""
    if isinstance(value, np.ndarray):
        return _digest(value)
    if callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', value)}"
    text = json.dumps(value, default=_text, sort_keys=True)
    return text if len(text) <= 200 else hashlib.sha256(text.encode()).hexdigest()
