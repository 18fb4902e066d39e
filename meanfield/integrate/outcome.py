"""How an integration ended, and what it computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

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
