"""The plateaus of a run: when, how high, how long, and the stationary point behind each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.dynamics.solution import Solution
from meanfield.dynamics.stationary.point import StationaryPoint, find_stationary

Array = NDArray[np.float64]

SLOWER = 3.0  # than before and after: what makes a stretch of a run a plateau


@dataclass(frozen=True)
class Plateau:
    """A stretch on which the risk hardly falls, between two on which it does.

    Attributes
    ----------
    begin, end : float
        Times between which log R falls more slowly than the geometric mean of its slowest rate and
        of the faster rates around.
    risk : float
        Where it falls most slowly.
    time : float
        When that is.
    point : StationaryPoint or None
        Found by Newton's method from the state at that time; None if the run did not keep it, or
        the problem has no such search (see `find_stationary`).

    Examples
    --------
    >>> import meanfield as mf
    >>> Plateau = mf.Plateau(begin=1.0, end=4.0, risk=0.1, time=2.0, point=None)
    >>> Plateau.length
    3.0
    """

    begin: float
    end: float
    risk: float
    time: float
    point: StationaryPoint | None

    @property
    def length(self) -> float:
        """How long it lasts."""
        return self.end - self.begin


def plateaus(solution: Solution) -> list[Plateau]:
    """The plateaus of a run of the overlap equations.

    Parameters
    ----------
    solution : Solution
        Of `solve_overlaps` (or `solve_fluctuations`), saved at times close enough to show them.

    Returns
    -------
    list of Plateau
        In order of time. A run that ends on a plateau has not left it: that one is not counted.

    Raises
    ------
    TypeError, ValueError
        If the solution is none, or of another description.

    Notes
    -----
    A plateau is where −d log R/dt has a minimum, three times below the largest rate before and the
    largest rate until the next. Risks below `rtol` of the largest are left out: there the tolerance
    alone makes rates uneven, and a smaller one shows more.

    Examples
    --------
    >>> import numpy as np, meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=2), dim=1000)
    >>> start = mf.aligned_overlaps(problem, p=2, overlap=0.1, spread=1e-3, seed=1)
    >>> run = mf.solve_overlaps(problem, start, 400.0, sgd_noise=False, save_at=801)
    >>> [plateau] = mf.plateaus(run)
    >>> plateau.point.kind, bool(abs(plateau.risk / plateau.point.risk - 1) < 0.02)
    ('saddle', True)
    """
    checks.instance(solution, "solution", Solution)
    if solution.states.kind != "Overlaps" or np.ndim(solution.risk) != 1:
        raise ValueError(
            "solution must be one of the overlap equations, got "
            f"{solution.parameters.get('description')}"
        )
    t, risk = solution.t, solution.risk
    usable = risk > solution.parameters.get("rtol", 0.0) * risk.max()
    t, risk = t[usable], risk[usable]
    if len(t) < 5:
        return []
    middle = 0.5 * (t[1:] + t[:-1])
    rate = np.maximum(-np.diff(np.log(risk)) / np.diff(t), 0.0)
    found = []
    for low, high in _slow(rate):
        slowest = low + int(np.argmin(rate[low:high]))
        found.append(
            Plateau(
                float(middle[low]), float(middle[high - 1]), float(risk[slowest]),
                float(t[slowest]), _behind(solution, float(t[slowest])),
            )
        )  # fmt: skip
    return found


def _slow(rate: Array) -> list[tuple[int, int]]:
    """Stretches of small rates between large ones."""
    found: list[tuple[int, int]] = []
    first, last = 0, len(rate)
    while first < last:
        # the deepest valley that begins here: rise by SLOWER over the lowest ends it
        peak, low, at = 0.0, np.inf, -1
        end = None
        for i in range(first, last):
            if rate[i] > peak and at < 0:
                peak = rate[i]
            elif rate[i] * SLOWER < peak and rate[i] < low:
                low, at = float(rate[i]), i
            if at >= 0 and rate[i] > SLOWER * max(low, 1e-300):
                end = i
                break
        if end is None:
            return found
        top = end
        while top + 1 < last and rate[top + 1] >= rate[top]:
            top += 1
        level = np.sqrt(max(low, 1e-12 * peak) * min(peak, float(rate[top])))
        left, right = at, at
        while left > first and rate[left - 1] < level:
            left -= 1
        while right + 1 < last and rate[right + 1] < level:
            right += 1
        found.append((left, right + 1))
        first = top
    return found


def _behind(solution: Solution, t: float) -> StationaryPoint | None:
    """The stationary point next to the run at a time."""
    if len(solution.states) != len(solution.t):
        return None
    state = solution.states[int(np.flatnonzero(solution.t == t)[0])]
    settings = solution.parameters
    try:
        return find_stationary(
            solution.problem, state, bool(settings.get("sgd_noise", True)),
            spherical=bool(settings.get("spherical", False)),
            batch_size=int(settings.get("batch_size", 1)),
        )  # fmt: skip
    except ValueError:
        return None
