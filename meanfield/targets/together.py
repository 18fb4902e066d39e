"""Two targets on one principal subspace, so that a run can go from one to the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield import checks
from meanfield.targets.base import LinkUnits, Target, check_target, units_of
from meanfield.targets.committee import CommitteeTarget
from meanfield.targets.multi_index import MultiIndexTarget
from meanfield.targets.polynomials import HermiteSeries, Polynomial

Array = NDArray[np.float64]


def together(
    first: Target, second: Target, overlap: ArrayLike | None = None
) -> tuple[Target, Target]:
    """The same two functions of the input, both stated in the directions of both.

    A run under the first can then go on under the second, and its risk can be measured under each:
    what of the first is forgotten, and what of it helps with the second.

    Parameters
    ----------
    first, second : CommitteeTarget or MultiIndexTarget
        With k₁ and k₂ directions; their own label noise stays theirs.
    overlap : array_like, shape (k₁, k₂), optional
        W₁* W₂*ᵀ/d, between two committees. None: the directions of one are orthogonal to those of
        the other.

    Returns
    -------
    tuple of two targets
        With k₁ + k₂ directions each and the same Gram matrix; units of the other task have weight
        0.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or the directions cannot have these overlaps. A committee
        whose Gram matrix is not the identity goes with another committee only.

    Notes
    -----
    A function of one's own is wrapped; for SGD, which compiles it, it must be compiled by numba
    (``numba.njit``) already.

    Examples
    --------
    >>> import meanfield as mf
    >>> task = mf.CommitteeTarget(k=1)
    >>> first, second = mf.targets.together(task, task, overlap=[[0.5]])
    >>> first.gram.tolist(), first.weights.tolist(), second.weights.tolist()
    ([[1.0, 0.5], [0.5, 1.0]], [2.0, 0.0], [0.0, 2.0])
    """
    targets = check_target(first, "first"), check_target(second, "second")
    k = [each.k for each in targets]
    C = np.zeros(tuple(k))
    if overlap is not None:
        C = np.asarray(checks.array(overlap, "overlap", tuple(k), described=f"{tuple(k)}"))
    P = np.block([[np.asarray(first.gram), C], [C.T, np.asarray(second.gram)]])
    if not np.array_equal(P, np.eye(sum(k))):
        for each, name in zip(targets, ("first", "second"), strict=True):
            if units_of(each) is None:
                raise ValueError(
                    f"{name} must be a committee where directions are not orthonormal, got a "
                    f"{type(each).__name__}; give no overlap, and write what two functions share "
                    "into them"
                )
    try:
        return _within(first, P, slice(0, k[0])), _within(second, P, slice(k[0], sum(k)))
    except ValueError as error:
        raise ValueError(f"overlap: {error}") from error


def _within(target: Target, P: Array, mine: slice) -> Target:
    """The target as one of all directions, of which some are its own."""
    units = units_of(target)
    if units is not None:
        return _committee(target, units, P, mine)
    if not isinstance(target, MultiIndexTarget):
        raise ValueError(
            f"a target must be a CommitteeTarget or a MultiIndexTarget, got {type(target).__name__}"
        )
    function = _function(target.function, len(P), mine)
    return MultiIndexTarget(function, len(P), target.noise, target.smooth, target.name)


def _committee(target: Target, units: LinkUnits, P: Array, mine: slice) -> Target:
    weights = np.zeros(len(P))
    weights[mine] = len(P) * units.shares
    return CommitteeTarget(len(P), units.link, P, weights, target.noise)


def _function(function: Any, k: int, mine: slice) -> Callable[[Array], Array]:
    """The same of z (n, k), of which it takes some columns."""
    before, after = (0,) * mine.start, (0,) * (k - mine.stop)
    if isinstance(function, Polynomial):
        exponents = tuple((*before, *powers, *after) for powers in function.exponents)
        return Polynomial(exponents, function.coefficients)
    if isinstance(function, HermiteSeries):
        degrees = tuple((*before, *index, *after) for index in function.degrees)
        return HermiteSeries(degrees, function.coefficients)
    first, last = mine.start, mine.stop

    def embedded(z: Array) -> Array:
        return np.asarray(function(np.ascontiguousarray(z[:, first:last])))

    return embedded


def one_of(targets: Any, number: int, overlap: ArrayLike | None = None) -> Target:
    """One of two targets stated together, for the file of a study: number 1 or 2."""
    if not isinstance(targets, list | tuple) or len(targets) != 2:
        raise ValueError(f"targets must be two, got {targets!r}")
    number = checks.integer(number, "number")
    if number > 2:
        raise ValueError(f"number must be 1 or 2, got {number}")
    return together(targets[0], targets[1], overlap)[number - 1]
