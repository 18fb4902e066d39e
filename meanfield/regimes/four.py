"""One run in each of four regimes."""

from __future__ import annotations

from typing import Any, NamedTuple

from meanfield import checks
from meanfield.activations import Activation
from meanfield.integrate import Status, logarithmic_times
from meanfield.problem import Problem
from meanfield.regimes.comparison import compare
from meanfield.regimes.distances import Comparison
from meanfield.targets import Target, check_target

NARROW = 8  # widths whose band takes seconds


class Setting(NamedTuple):
    """Dimension d, width p and learning rate γ of a run."""

    dim: int
    width: int
    learning_rate: float


# each is the regime `diagnose` names
SETTINGS = {
    "classical": Setting(20, 4, 0.04),
    "high-dimensional": Setting(2000, 4, 4.0),
    "mean-field": Setting(50, 100, 5.0),
    "intermediate": Setting(10, 4, 4.0),
}


def four_regimes(
    target: Target,
    activation: str | Activation = "erf",
    *,
    t_end: float = 100.0,
    runs: int = 4,
    seed: int = 0,
    times: int = 60,
    settings: dict[str, Setting] | None = None,
    **options: Any,
) -> dict[str, Comparison]:
    """Compare the descriptions of one problem in four regimes.

    Parameters
    ----------
    target : CommitteeTarget or MultiIndexTarget
    activation : str or Activation
        σ of the student.
    t_end : float
        Final time, > 0, in units where one SGD step takes γ/(p d).
    runs : int
        Runs of SGD in each regime.
    seed : int
        Seed of starts and of SGD, ≥ 0.
    times : int
        Number of saved times, 0 and then equally spaced in log t.
    settings : dict of str to Setting, optional
        (d, p, γ) by the title of the regime; by default one each in the classical (γ/p small at
        moderate d and p), high-dimensional (d large at γ/p = 1), mean-field (p large) and
        intermediate regime (nothing small).
    **options
        For `compare`. By default ``samples`` is 2048 and ``rtol`` 1e-5, enough for a picture, and
        ``band`` is True for at most 8 neurons, as many as there are other directions or fewer.

    Returns
    -------
    dict of str to Comparison
        By title. After Ctrl-C under `return_on_interrupt`, those computed.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; the message names it.

    Examples
    --------
    >>> import meanfield as mf
    >>> one = {"tiny": (10, 2, 0.1)}
    >>> found = mf.regimes.four_regimes(
    ...     mf.CommitteeTarget(k=1), t_end=0.5, runs=2, times=4, settings=one
    ... )
    >>> found["tiny"].width
    2
    """
    check_target(target)
    t_end = checks.real(t_end, "t_end", above=0.0)
    save_at = logarithmic_times(t_end, checks.integer(times, "times", minimum=3))
    settings = SETTINGS if settings is None else checks.instance(settings, "settings", dict)
    options = {"samples": 2048, "rtol": 1e-5, **options}
    comparisons: dict[str, Comparison] = {}
    for name, (dim, width, rate) in settings.items():
        problem = Problem(target, activation, dim, rate)
        band = {"band": width <= min(NARROW, dim - target.k)}
        comparisons[name] = compare(
            problem, width, t_end, runs=runs, seed=seed, save_at=save_at, **band | options
        )
        if comparisons[name].status is Status.INTERRUPTED:
            break
    return comparisons
