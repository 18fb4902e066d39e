"""The verdict on a run: what its known errors make of a status of success."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.integrate.records import Status

Array = NDArray[np.float64]

WORTH_SAYING = 1e-8

# how large a relative error may be under success, and what it is an error of, by the names that
# they have in ``Solution.stats``; a wider tolerance allows as much. Where the γ/p term is what
# holds a risk up, as at its floor, the risk errs as the term does: by no more than a twentieth
ALLOWED = {
    "average_error": (1e-5, "averages over inputs", "carry"),
    "noise_error": (0.05, "the γ/p term", "carries"),
    "clip_error": (0.01, "the mean of clipped gradients", "carries"),
}


class Estimate(NamedTuple):
    """A relative error that a run knows of.

    Attributes
    ----------
    of : str
        What errs.
    error, allowed : float
        The largest estimate, and how large it may be under success.
    notable : float
        Errors above are notes in the message of a success.
    held : float
        How much of the error counts against the run, where it is not all.
    where, limit, verb : str
        More to say of the error, and of what is allowed; "carry" or "carries".
    """

    of: str
    error: float
    allowed: float
    notable: float = WORTH_SAYING
    held: float = math.inf
    where: str = ""
    limit: str = ""
    verb: str = "carry"

    @property
    def refused(self) -> bool:
        """Whether the run is inaccurate for it; a NaN is."""
        return not min(self.error, self.held) <= self.allowed


def relative(error: float | Array, whole: Array) -> float:
    """An error over the size of what errs, both as Frobenius norms; 0 where there is nothing."""
    size = float(np.linalg.norm(whole))
    return float(np.linalg.norm(error)) / size if size > 0.0 else 0.0


def final_status(
    status: Status,
    message: str,
    stats: Mapping[str, float],
    rtol: float = 0.0,
    *more: Estimate,
    allowed: float = 0.0,
) -> tuple[Status, str]:
    """The status and message of a run: the largest of its errors decides.

    Parameters
    ----------
    status, message : Status, str
        How it ended; what is no success stays as it is.
    stats : mapping
        Holds the errors of `ALLOWED` that the run has.
    rtol : float
        Its tolerance.
    *more : Estimate
        What else is known.
    allowed : float
        What the run allows of any error, if more than its tolerance.
    """
    if status is not Status.SUCCESS:
        return status, message
    estimates = [*more] + [
        Estimate(
            of, float(stats[name]), max(least, rtol, allowed), max(rtol, WORTH_SAYING), verb=verb
        )
        for name, (least, of, verb) in ALLOWED.items()
        if name in stats
    ]
    refused, notes = [], []
    for each in estimates:
        if each.refused:
            refused.append(
                f"{each.of} {each.verb} an estimated relative error of {each.error:.1e}{each.where}"
                f", above {each.allowed:.0e}{each.limit}"
            )
        elif each.error > each.notable:
            notes.append(f"{each.of} good to {each.error:.0e}{each.where}")
    if refused:
        return Status.INACCURATE, f"{message}, but {' and '.join(refused)}"
    return status, f"{message}, with {' and '.join(notes)}" if notes else message
