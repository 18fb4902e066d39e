"""Ready-made targets, and any target from its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from meanfield import checks
from meanfield.functions.users import imported
from meanfield.targets.base import NEEDED, Target
from meanfield.targets.committee import CommitteeTarget
from meanfield.targets.multi_index import MultiIndexTarget, multi_index_from_parameters
from meanfield.targets.polynomials import HermiteSeries, Polynomial

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
