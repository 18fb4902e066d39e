"""Ready-made targets, two on one principal subspace, and any target from its parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield import checks
from meanfield.functions.users import imported
from meanfield.targets.base import NEEDED, Target, check_target, units_of
from meanfield.targets.committee import CommitteeTarget
from meanfield.targets.multi_index import MultiIndexTarget, multi_index_from_parameters
from meanfield.targets.polynomials import HermiteSeries, Polynomial

Array = NDArray[np.float64]

DATA = {"k", "rank", "basis", "gram", "noise", "smooth"}  # which instances alone may have
LARGEST_DEGREE = 200  # to which the coefficients of any student are resolved


def hermite_link(degree: int | Sequence[float], noise: float = 0.0) -> MultiIndexTarget:
    """A single-index target g(z) = Σ_n c_n He_n(z)/√n!.

    Parameters
    ----------
    degree : int or sequence of float
        One degree n ≥ 1, or the coefficients c_0, c_1, … of the normalised polynomials; up to
        degree 200.
    noise : float
        Δ ≥ 0, the variance of the label noise.

    Returns
    -------
    MultiIndexTarget
        With k = 1. A single degree n has information exponent n.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Examples
    --------
    >>> import meanfield as mf
    >>> mf.targets.information_exponent(mf.targets.hermite_link(3))
    3
    """
    if isinstance(degree, Sequence | np.ndarray):
        c = checks.array(np.asarray(degree), "degree", (None,), described="(n + 1,)").tolist()
        name = "Hermite link"
    else:
        n = checks.integer(degree, "degree")
        c, name = [0.0] * min(n, LARGEST_DEGREE + 1) + [1.0], f"Hermite link of degree {n}"
    terms = {(n,): float(value) for n, value in enumerate(c) if value != 0.0}
    if not terms:
        raise ValueError("degree must hold a coefficient that is not 0")
    if (highest := max(terms)[0]) > LARGEST_DEGREE:
        given = degree if isinstance(degree, int) else f"coefficients up to {highest}"
        raise ValueError(f"degree must be at most {LARGEST_DEGREE}, got {given}")
    function = HermiteSeries(tuple(terms), tuple(terms.values()))
    return MultiIndexTarget(function, 1, noise, name=name)


def staircase(k: int, noise: float = 0.0) -> MultiIndexTarget:
    """z_1 + z_1 z_2 + … + z_1 z_2 ⋯ z_k, of leap index 1 (Abbe et al. 2022).

    Parameters
    ----------
    k : int
        Number of coordinates.
    noise : float
        Δ ≥ 0, the variance of the label noise.

    Returns
    -------
    MultiIndexTarget

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Examples
    --------
    >>> import meanfield as mf
    >>> mf.targets.staircase(3)([[2.0, 3.0, 5.0]])
    array([38.])
    """
    k = checks.integer(k, "k")
    terms = {(1,) * step + (0,) * (k - step): 1.0 for step in range(1, k + 1)}
    return _polynomial(terms, f"staircase of {k} steps", noise)


def parity(k: int, noise: float = 0.0) -> MultiIndexTarget:
    """The product z_1 z_2 ⋯ z_k, of leap index and information exponent k.

    Parameters
    ----------
    k : int
        Number of coordinates.
    noise : float
        Δ ≥ 0, the variance of the label noise.

    Returns
    -------
    MultiIndexTarget

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Examples
    --------
    >>> import meanfield as mf
    >>> mf.targets.parity(3)([[2.0, 3.0, 5.0]])
    array([30.])
    """
    k = checks.integer(k, "k")
    return _polynomial({(1,) * k: 1.0}, f"parity of degree {k}", noise)


def _polynomial(terms: dict[tuple[int, ...], float], name: str, noise: float) -> MultiIndexTarget:
    function = Polynomial(tuple(terms), tuple(terms.values()))
    return MultiIndexTarget(function, len(next(iter(terms))), noise, name=name)


def target_from_parameters(parameters: dict[str, Any]) -> Target:
    """Build the target whose `parameters()` these are."""
    kind = parameters.get("kind")
    if kind == "multi-index":
        return multi_index_from_parameters(parameters)
    arguments = {name: value for name, value in parameters.items() if name != "kind"}
    if kind == "committee":
        return CommitteeTarget(**arguments)
    if ":" not in str(kind):
        raise ValueError(
            f"parameters describe a target of kind {kind!r}, not 'committee', 'multi-index' or "
            "'module:Class'"
        )
    return own_target_class(imported(str(kind)), str(kind))(**arguments)


def own_target_class(found: Any, kind: str) -> type:
    """A class of someone's that makes targets; nothing else is called for what a file says."""
    if not isinstance(found, type) or not set(NEEDED) <= set(dir(found)) | DATA:
        raise ValueError(
            f"target of kind {kind!r} must be a class with what meanfield.targets.Target lists, "
            "of a module that is imported already"
        )
    return found


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
        weights = np.zeros(len(P))
        weights[mine] = len(P) * units.shares
        return CommitteeTarget(len(P), units.link, P, weights, target.noise)
    if not isinstance(target, MultiIndexTarget):
        raise ValueError(
            f"a target must be a CommitteeTarget or a MultiIndexTarget, got {type(target).__name__}"
        )
    function = _function(target.function, len(P), mine)
    return MultiIndexTarget(function, len(P), target.noise, target.smooth, target.name)


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
