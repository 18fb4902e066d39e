"""How good the velocities of a run were: where its field is looked at, and what that says of it.

An error that stays while velocities shrink is a larger part of them. Where they grow again, as
beyond a plateau, it is what the rest of the run starts from; where they only fade it moves neurons
by no more than it did when they were fast, and is said but not held against the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.accuracy import Estimate

Array = NDArray[np.float64]

WORTH_SAYING = 1e-5  # an error of the velocities that the message of a success names
SHRUNK = 0.3  # of the slower end of a run: a saved state as slow as that is looked at too


class Check(NamedTuple):
    """The field's relative error at a time.

    `faded` is how fast neurons move at most from then on, over how fast they ever did.
    """

    t: float
    error: float
    faded: float = 1.0


def saved_speeds(times: Sequence[float], states: Sequence[Array]) -> Array:
    """Mean speed from each saved state to the next, a root mean square over coordinates."""
    pairs = zip(states[:-1], states[1:], np.diff(times), strict=True)
    return np.array([root_mean(after - before) / h for before, after, h in pairs])


def root_mean(values: Array) -> float:
    """Root mean square, 0 of nothing."""
    return float(np.sqrt(np.mean(values * values))) if values.size else 0.0


def slowest(speeds: Array, ends: tuple[float, float]) -> int | None:
    """The saved state before which neurons moved least, if far less than at both ends."""
    if len(speeds) < 2:
        return None
    at = int(np.argmin(speeds))
    return at if speeds[at] < SHRUNK * min(ends) else None


def estimate_of_velocities(checks: Sequence[Check], allowed: float, rtol: float) -> Estimate:
    """What these say of a run that came to its end."""
    worst = max(checks, key=lambda check: check.error)
    where = f" at t = {worst.t:g}"
    if worst.faded < 1.0:
        where += f", where they have faded to {worst.faded:.0e} of the largest"
    return Estimate(
        "the velocities", worst.error, allowed, max(rtol, WORTH_SAYING),
        max(check.error * check.faded for check in checks),
        where, ", on the finest layout allowed",
    )  # fmt: skip
