"""What a run recorded, how it ended, and where it stands: what a file can hold of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class BadRate(Exception):
    """A schedule gave a value that no rate can have, in the middle of a run."""


class Status(StrEnum):
    """How a run ended; compares equal to its word.

    Examples
    --------
    >>> import meanfield as mf
    >>> mf.Status("diverged") is mf.Status.DIVERGED, mf.Status.SUCCESS == "success"
    (True, True)
    """

    SUCCESS = "success"
    INACCURATE = "inaccurate"
    DIVERGED = "diverged"
    STEP_COLLAPSED = "step_collapsed"
    MAX_STEPS = "max_steps"
    INTERRUPTED = "interrupted"
    INVALID = "invalid"


@dataclass
class Trajectory:
    """What an integration recorded.

    Attributes
    ----------
    t : ndarray, shape (T,)
        Times recorded, the first ones asked for if the run ended early.
    records : list
        What the observer returned at each of them, by name.
    y : ndarray
        State at the last time reached.
    t_reached : float
        The last time reached.
    status, message : Status, str
        How the run ended.
    stats : dict
        Counts: ``rhs_evaluations``, ``steps``, ``rejected_steps``.
    """

    t: NDArray[np.float64]
    records: list[Any]
    y: NDArray[np.float64]
    t_reached: float
    status: Status
    message: str
    stats: dict[str, Any] = field(default_factory=dict)


Arrays = dict[str, NDArray[Any]]
Record = Mapping[str, Any]


class Snapshot(NamedTuple):
    """All that a run needs to go on as if it had never stopped."""

    header: dict[str, Any]
    arrays: Arrays


class Checkpoint(Protocol):
    """Where snapshots go, and what they hold of the world outside the integrator."""

    def load(self) -> Snapshot | None:
        """The snapshot of an earlier call, if there is one."""

    def outside(self) -> dict[str, Any]:
        """The present state of what the right-hand side keeps to itself, as plain numbers."""

    def restore(self, outside: dict[str, Any]) -> None:
        """Bring the right-hand side back to such a state."""

    def due(self) -> bool:
        """Whether it is time for another snapshot."""

    def save(self, snapshot: Snapshot) -> None:
        """Keep a snapshot in place of the one before."""


def pack_records(records: Sequence[Record]) -> Arrays:
    """Records as arrays: for each name the values, stacked, and which records have them.

    >>> packed = pack_records([{"risk": 1.0, "y": np.zeros(2)}, {"risk": 0.5}])
    >>> packed["values.risk"].tolist(), packed["where.y"].tolist()
    ([1.0, 0.5], [0])
    """
    arrays: Arrays = {}
    for name in {name: None for record in records for name in record}:
        where = [i for i, record in enumerate(records) if name in record]
        arrays[f"where.{name}"] = np.array(where, dtype=np.int64)
        arrays[f"values.{name}"] = np.stack([np.asarray(records[i][name]) for i in where])
    return arrays


def unpack_records(arrays: Mapping[str, NDArray[Any]], count: int) -> list[dict[str, Any]]:
    """The records that `pack_records` packed."""
    records: list[dict[str, Any]] = [{} for _ in range(count)]
    for name in (key[6:] for key in arrays if key.startswith("where.")):
        values = arrays[f"values.{name}"]
        for i, value in zip(arrays[f"where.{name}"].tolist(), values, strict=True):
            records[i][name] = value if values.ndim > 1 else value.item()
    return records
