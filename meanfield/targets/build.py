"""Ready-made targets, and any target from its parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.polynomial.hermite_e import herme2poly

from meanfield import checks
from meanfield.targets.committee import CommitteeTarget
from meanfield.targets.multi_index import (
    MultiIndexTarget,
    Polynomial,
    multi_index_from_parameters,
)

Target = CommitteeTarget | MultiIndexTarget


def hermite_link(degree: int | Sequence[float], noise: float = 0.0) -> MultiIndexTarget:
    """A single-index target g(z) = Σ_n c_n He_n(z)/√n!.

    Parameters
    ----------
    degree : int or sequence of float
        One degree n ≥ 1, or the coefficients c_0, c_1, … of the normalised polynomials.
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
        c = checks.array(np.asarray(degree), "degree", (None,), described="(n + 1,)")
        name = "Hermite link"
    else:
        c = np.eye(1, checks.integer(degree, "degree") + 1, int(degree))[0]
        name = f"Hermite link of degree {degree}"
    if not c.any():
        raise ValueError("degree must hold a coefficient that is not 0")
    powers = herme2poly([c[n] / math.sqrt(math.factorial(n)) for n in range(len(c))])
    terms: dict[tuple[int, ...], float] = {
        (n,): float(power) for n, power in enumerate(powers) if power != 0.0
    }
    return _polynomial(terms, name, noise)


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
    if kind != "committee":
        raise ValueError(
            f"parameters describe a target of kind {kind!r}, not 'committee' or 'multi-index'"
        )
    return CommitteeTarget(**{name: value for name, value in parameters.items() if name != "kind"})
