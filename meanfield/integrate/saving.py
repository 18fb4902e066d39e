"""When to record: the times of a run, as values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield import checks

DEFAULT_SAVES = 51


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
