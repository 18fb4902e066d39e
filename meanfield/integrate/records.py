"""When a run records, what it recorded, how it ended and where it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from meanfield import checks

Arrays = dict[str, NDArray[Any]]
Record = Mapping[str, Any]

DEFAULT_SAVES = 51


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


def linear_times(t_end: float, count: int = DEFAULT_SAVES) -> NDArray[np.float64]:
    """`count` equally spaced times from 0 to `t_end`.

    Parameters
    ----------
    t_end : float
        The last time, > 0, in units where one SGD step takes γ/(p d).
    count : int
        How many, at least 2.

    Returns
    -------
    ndarray, shape (count,)

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Examples
    --------
    >>> linear_times(1.0, 3)
    array([0. , 0.5, 1. ])
    """
    t_end = checks.real(t_end, "t_end", above=0.0)
    return np.linspace(0.0, t_end, checks.integer(count, "count", minimum=2))


def logarithmic_times(
    t_end: float, count: int = DEFAULT_SAVES, first: float | None = None
) -> NDArray[np.float64]:
    """0, then times equally spaced in the logarithm from `first` to `t_end`.

    Parameters
    ----------
    t_end : float
        The last time, > 0, in units where one SGD step takes γ/(p d).
    count : int
        How many, at least 3.
    first : float, optional
        The second time, in (0, t_end); t_end/1000 by default.

    Returns
    -------
    ndarray, shape (count,)

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Examples
    --------
    >>> logarithmic_times(100.0, 4, first=1.0)
    array([  0.,   1.,  10., 100.])
    """
    t_end = checks.real(t_end, "t_end", above=0.0)
    first = 1e-3 * t_end if first is None else checks.real(first, "first", above=0.0)
    if first >= t_end:
        raise ValueError(f"first must be below t_end = {t_end:g}, got {first:g}")
    times = np.geomspace(first, t_end, checks.integer(count, "count", minimum=3) - 1)
    times[-1] = t_end
    return np.concatenate(([0.0], times))


def check_times(save_at: Any, t_end: float) -> NDArray[np.float64]:
    """The times to record: None is 51 linear ones, an int that many, an array itself."""
    if save_at is None:
        return linear_times(t_end)
    if isinstance(save_at, int | np.integer) and not isinstance(save_at, bool):
        return linear_times(t_end, checks.integer(save_at, "save_at", minimum=2))
    if isinstance(save_at, float):
        raise TypeError(
            f"save_at must be times or how many of them, got {save_at!r}; for one in every "
            f"{save_at:g} units of time numpy.arange(0, t_end, {save_at:g})"
        )
    times = checks.array(save_at, "save_at", (None,), described="(T,)")
    if times.size == 0:
        raise ValueError("save_at must hold at least one time, got none")
    if (np.diff(times) <= 0).any():
        raise ValueError("save_at must increase strictly")
    if times[0] < 0 or times[-1] > t_end:
        raise ValueError(
            f"save_at must lie in [0, t_end] = [0, {t_end:g}], got [{times[0]:g}, {times[-1]:g}]"
        )
    return times
