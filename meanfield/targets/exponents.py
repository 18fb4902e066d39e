"""How hard a target is to find: information exponent and leap index, from Hermite coefficients."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield import checks
from meanfield.gaussian.rules import coarse_share, gaussian_nodes
from meanfield.targets.committee import CommitteeTarget
from meanfield.targets.multi_index import MultiIndexTarget
from meanfield.targets.polynomials import MultiIndex, hermite_table

Array = NDArray[np.float64]
MAX_DEGREE = 8


def hermite_coefficients(
    target: CommitteeTarget | MultiIndexTarget,
    max_degree: int = MAX_DEGREE,
    *,
    rotation: ArrayLike | None = None,
) -> dict[MultiIndex, tuple[float, float]]:
    """Coefficients of f*(z) = Σ_α c_α Π_j He_{α_j}(z_j)/√α_j!, with their errors.

    Parameters
    ----------
    target : CommitteeTarget or MultiIndexTarget
    max_degree : int
        Largest |α| = Σ_j α_j.
    rotation : array_like, shape (rank, rank), optional
        Orthogonal: expand in the coordinates ``rotation @ z`` instead.

    Returns
    -------
    dict of tuple of int to (float, float)
        By α, in order of degree: c_α, and an estimate of its error (0 for the ready-made
        polynomials, in their own coordinates).

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Examples
    --------
    >>> import meanfield as mf
    >>> mf.targets.hermite_coefficients(mf.targets.parity(2), 2)[1, 1]
    (1.0, 0.0)
    """
    _check_target(target)
    max_degree = checks.integer(max_degree, "max_degree")
    k, turn = target.rank, _rotation(rotation, target.rank)
    exact = _known(target)
    if turn is None and exact is not None:
        return {index: (exact.get(index, 0.0), 0.0) for index in _indices(k, max_degree)}
    sizes = []
    for level in (0, 1):
        z, w = gaussian_nodes(k, smooth=target.smooth, level=level)
        values = w * target(z if turn is None else z @ turn)
        sizes.append(_projected(values, hermite_table(z, max_degree), k, max_degree))
    (coarse, fine), share = sizes, coarse_share(k) - 1.0
    return {index: (fine[index], share * abs(fine[index] - coarse[index])) for index in fine}


def information_exponent(
    target: CommitteeTarget | MultiIndexTarget,
    tolerance: float = 1e-3,
    max_degree: int = MAX_DEGREE,
) -> int:
    """The smallest degree ℓ ≥ 1 of which f* has a Hermite component.

    Parameters
    ----------
    target : CommitteeTarget or MultiIndexTarget
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
    target: CommitteeTarget | MultiIndexTarget,
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
    target: Any, tolerance: float, max_degree: int, rotation: ArrayLike | None
) -> list[MultiIndex]:
    """The multi-indices, but 0, whose coefficients count."""
    _check_target(target)
    tolerance = checks.real(tolerance, "tolerance", above=0.0)
    exact, zero = _known(target), (0,) * target.rank
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


def _known(target: Any) -> dict[MultiIndex, float] | None:
    """All coefficients of a target that knows them."""
    return target.coefficients if isinstance(target, MultiIndexTarget) else None


def _check_target(target: Any) -> None:
    if not isinstance(target, CommitteeTarget | MultiIndexTarget):
        raise TypeError(
            f"target must be a CommitteeTarget or a MultiIndexTarget, got {type(target).__name__}"
        )


def _rotation(rotation: ArrayLike | None, k: int) -> Array | None:
    if rotation is None:
        return None
    turn = checks.array(rotation, "rotation", (k, k), described=f"(rank, rank) = ({k}, {k})")
    if not np.allclose(turn @ turn.T, np.eye(k), rtol=0.0, atol=1e-8):
        raise ValueError("rotation must be orthogonal")
    return turn


def _indices(k: int, max_degree: int) -> Iterator[MultiIndex]:
    """All multi-indices of k coordinates up to a degree, in order of degree."""
    for degree in range(max_degree + 1):
        for chosen in combinations_with_replacement(range(k), degree):
            yield tuple(chosen.count(j) for j in range(k))


def _projected(values: Array, table: Array, k: int, max_degree: int) -> dict[MultiIndex, float]:
    """Σ_s values_s Π_j table[α_j, j, s] for every α."""
    found = {}
    for index in _indices(k, max_degree):
        product = values
        for j, n in enumerate(index):
            if n:
                product = product * table[n, j]
        found[index] = float(product.sum())
    return found
