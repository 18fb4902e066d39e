"""How hard a target is to find: information exponent and leap index, from Hermite coefficients."""

from __future__ import annotations

import math

from numpy.typing import ArrayLike

from meanfield import checks
from meanfield.targets.base import Target, check_target
from meanfield.targets.hermite import MAX_DEGREE, MultiIndex, hermite_coefficients


def information_exponent(
    target: Target,
    tolerance: float = 1e-3,
    max_degree: int = MAX_DEGREE,
) -> int:
    """The smallest degree ℓ ≥ 1 of which f* has a Hermite component.

    Parameters
    ----------
    target : CommitteeTarget, MultiIndexTarget or another `Target`
    tolerance : float
        A coefficient counts if it exceeds this, relative to √Var f*, > 0.
    max_degree : int
        How far to look; a target whose coefficients are known exactly is looked at whole.

    Returns
    -------
    int

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, no coefficient up to `max_degree` counts, or quadrature
        cannot tell at this tolerance.

    Notes
    -----
    Ben Arous, Gheissari & Jagannath 2021; with several indices, the smallest degree over all. It
    does not depend on the basis of the principal subspace. From a small start gradient flow
    leaves its plateau after a time of order one for ℓ = 1, log d for 2, and a power of d beyond.

    Examples
    --------
    >>> import meanfield as mf
    >>> mf.targets.information_exponent(mf.targets.parity(3))
    3
    >>> mf.targets.information_exponent(mf.CommitteeTarget(k=1, activation="square"))
    2
    """
    return min(sum(index) for index in _support(target, tolerance, max_degree, None))


def leap_index(
    target: Target,
    tolerance: float = 1e-3,
    max_degree: int = MAX_DEGREE,
    *,
    rotation: ArrayLike | None = None,
) -> int:
    """The largest leap by which f* must be learnt, coordinate after coordinate.

    Parameters
    ----------
    target, tolerance, max_degree
        As for `information_exponent`.
    rotation : array_like, shape (rank, rank), optional
        Orthogonal: measure in the coordinates ``rotation @ z``. The index depends on the basis.

    Returns
    -------
    int
        Over all orders of the non-zero multi-indices α, the smallest possible value of the largest
        degree that one of them has in coordinates that none before it has.

    Raises
    ------
    TypeError, ValueError
        As for `information_exponent`; also if f* varies with a coordinate that no coefficient up
        to `max_degree` holds.

    Notes
    -----
    Abbe, Boix-Adserà & Misiakiewicz 2023; their isotropic leap is the largest over all bases,
    which this function does not search for.

    Examples
    --------
    >>> import meanfield as mf
    >>> mf.targets.leap_index(mf.targets.staircase(4)), mf.targets.leap_index(mf.targets.parity(3))
    (1, 3)
    """
    support = _support(target, tolerance, max_degree, rotation)
    known: set[int] = set()
    leap = 0
    while True:
        # taking the smallest leap first never raises the largest
        steps = [
            (degree, index)
            for index in support
            if (degree := sum(n for j, n in enumerate(index) if j not in known))
        ]
        if not steps:
            return leap
        degree, index = min(steps)
        leap = max(leap, degree)
        known |= {j for j, n in enumerate(index) if n}


def _support(
    target: Target, tolerance: float, max_degree: int, rotation: ArrayLike | None
) -> list[MultiIndex]:
    """The multi-indices, but 0, whose coefficients count."""
    check_target(target)
    tolerance = checks.real(tolerance, "tolerance", above=0.0)
    exact, zero = getattr(target, "coefficients", None), (0,) * target.rank
    if rotation is None and exact is not None:  # whatever their degrees are
        coefficients = {index: (c, 0.0) for index, c in exact.items()}
    else:
        coefficients = hermite_coefficients(target, max_degree, rotation=rotation)
    mean = coefficients.pop(zero, (0.0, 0.0))[0]
    variance = target.second_moment() - mean * mean
    if variance <= 1e-12 * target.second_moment():
        raise ValueError("target must not be constant")
    threshold = tolerance * math.sqrt(variance)
    unclear = [a for a, (c, error) in coefficients.items() if 4.0 * error > max(threshold, abs(c))]
    if unclear:
        error = max(coefficients[index][1] for index in unclear) / math.sqrt(variance)
        raise ValueError(
            f"tolerance must be at least {4.0 * error:.1g}: quadrature knows the coefficients of "
            f"this target to {error:.1g} only"
        )
    support = [index for index, (c, _) in coefficients.items() if abs(c) > threshold]
    held = {j for index in support for j, n in enumerate(index) if n}
    seen = sum(c * c for c, _ in coefficients.values())
    if not support or (len(held) < target.rank and variance - seen > 10.0 * tolerance * variance):
        raise ValueError(
            f"max_degree must be above {max_degree}: Hermite components up to there hold "
            f"{seen / variance:.1%} of the target's variance and {len(held)} of its "
            f"{target.rank} coordinates"
        )
    return support
