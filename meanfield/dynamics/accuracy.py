"""The verdict on a run: what its known errors make of a status of success."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from meanfield.integrate.outcome import Status

WORTH_SAYING = 1e-8


class Allowance(NamedTuple):
    """How large a relative error may be under success, and what it is an error of."""

    least: float
    of: str


# by the names that they have in ``Solution.stats``; a wider tolerance allows as much
ALLOWED = {
    "average_error": Allowance(1e-5, "averages over inputs"),
    "noise_error": Allowance(0.2, "the γ/p term"),
}


def judged(
    status: Status, message: str, stats: Mapping[str, Any], rtol: float = 0.0
) -> tuple[Status, str]:
    """The status and message of a run whose statistics hold these errors: the largest decides.

    Errors within what is allowed are said in the message where they exceed the tolerance.
    """
    if status is not Status.SUCCESS:
        return status, message
    said, refused = [], []
    for name, (least, of) in ALLOWED.items():
        error, allowed = float(stats.get(name, 0.0)), max(least, rtol)
        if not error <= allowed:
            refused.append(f"{of} carry" if of.endswith("s") else f"{of} carries")
            refused[-1] += f" an estimated relative error of {error:.1e}, above {allowed:.0e}"
        elif error > max(rtol, WORTH_SAYING):
            said.append(f"{of} good to {error:.0e}")
    if refused:
        return Status.INACCURATE, f"{message}, but {' and '.join(refused)}"
    return status, f"{message}, with {' and '.join(said)}" if said else message
