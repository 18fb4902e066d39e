"""Hermite coefficients of a target, and the series of one that few of them hold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield import checks
from meanfield.activations import Activation
from meanfield.gaussian.hermite_coefficients import (
    coefficients,
    coefficients_by_panels,
    hermite_table,
)
from meanfield.gaussian.rules import coarse_share, gaussian_nodes
from meanfield.kernels.activations.units import CUSTOM
from meanfield.targets.base import LinkUnits, Target, check_target, units_of
from meanfield.targets.polynomials import MultiIndex

Array = NDArray[np.float64]

MAX_DEGREE = 8
# degrees to which a smooth function of k coordinates is expanded, and what it may leave out
SERIES_DEGREE = {1: 80, 2: 52, 3: 22, 4: 10}
SERIES_TAIL = 3e-3
# what counts as a polynomial: its size, and what may lie beyond, where rounding leaves 1e-8
LARGEST_DEGREE, MOST_COEFFICIENTS, COMPLETE = 12, 1000, 1e-7


class Series(NamedTuple):
    """Coefficients c_α of a function of z.

    Over the norm of the function, `tail` is the norm of what they do not hold, and `errors`, degree
    by degree, that of what they are wrong by.
    """

    coefficients: dict[MultiIndex, float]
    tail: float = 0.0
    errors: tuple[float, ...] = ()


def hermite_coefficients(
    target: Target,
    max_degree: int = MAX_DEGREE,
    *,
    rotation: ArrayLike | None = None,
) -> dict[MultiIndex, tuple[float, float]]:
    """Coefficients of f*(z) = Σ_α c_α Π_j He_{α_j}(z_j)/√α_j!, with their errors.

    Parameters
    ----------
    target : CommitteeTarget, MultiIndexTarget or another `Target`
    max_degree : int
        Largest |α| = Σ_j α_j.
    rotation : array_like, shape (rank, rank), optional
        Orthogonal: expand in the coordinates ``rotation @ z`` instead.

    Returns
    -------
    dict of tuple of int to (float, float)
        By α, in order of degree: c_α, and an estimate of its error (0 for the ready-made
        polynomials, in their own coordinates). Those of a committee are the link's.

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
    check_target(target)
    max_degree = checks.integer(max_degree, "max_degree")
    k, turn = target.rank, _rotation(rotation, target.rank)
    exact, units = getattr(target, "coefficients", None), units_of(target)
    if turn is None and exact is not None:
        return {index: (exact.get(index, 0.0), 0.0) for index in _indices(k, max_degree)}
    if units is not None:
        turned = units.basis if turn is None else units.basis @ turn.T
        return _of_units(units._replace(basis=turned), max_degree)
    sizes = []
    for level in (0, 1):
        z, w = gaussian_nodes(k, smooth=target.smooth, level=level)
        values = w * target(z if turn is None else z @ turn)
        sizes.append(_projected(values, hermite_table(z.T, max_degree + 1), k, max_degree))
    (coarse, fine), share = sizes, coarse_share(k) - 1.0
    return {index: (fine[index], share * abs(fine[index] - coarse[index])) for index in fine}


def _of_units(units: LinkUnits, max_degree: int) -> dict[MultiIndex, tuple[float, float]]:
    """E he_α(z) σ*(b·z) = √(m!/α!) (b/|b|)^α h_m(|b|²), m = |α|."""
    lengths = np.sqrt((units.basis**2).sum(axis=1))
    # a link of the user's may follow what it captures
    kept = _of_link.__wrapped__ if units.link.code == CUSTOM else _of_link
    h, off = kept(units.link, tuple(lengths.tolist()), max_degree + 1)
    b = np.divide(
        units.basis, lengths[:, None], out=np.zeros_like(units.basis), where=lengths[:, None] > 0
    )
    found = {}
    for index in _indices(b.shape[1], max_degree):
        m = sum(index)
        ways = math.factorial(m) / math.prod(map(math.factorial, index))
        share = math.sqrt(ways) * units.shares * np.prod(b ** np.array(index), axis=1)
        found[index] = float(share @ h[:, m]), float(np.abs(share) @ off[:, m])
    return found


@lru_cache(maxsize=64)
def _of_link(link: Activation, lengths: tuple[float, ...], terms: int) -> tuple[Array, Array]:
    """h_m of a link at each length, and what another way to compute them differs by."""
    at = np.array(lengths)
    h, _ = coefficients(link, at, terms)
    return h, np.abs(h - coefficients_by_panels(link, at, terms)[0])


def find_series(target: Target) -> Series | None:
    """The coefficients of a target, if they hold nearly all of it."""
    if (exact := getattr(target, "coefficients", None)) is not None:
        return Series(exact)
    if not target.smooth or target.rank not in SERIES_DEGREE:
        return None
    degree, whole = SERIES_DEGREE[target.rank], target.second_moment() or 1.0
    found = hermite_coefficients(target, degree)
    held = sum(c * c for c, _ in found.values()) / whole
    squares = [0.0] * (degree + 1)
    for index, (_, error) in found.items():
        squares[sum(index)] += error * error / whole
    tail = max(1.0 - held, sum(squares)) ** 0.5
    if tail > SERIES_TAIL:
        return None
    kept = {index: c for index, (c, _) in found.items()}
    return Series(kept, tail, tuple(square**0.5 for square in squares))


_kept_series = lru_cache(maxsize=32)(find_series)


def series_of(target: Target) -> Series | None:
    """The same, kept: by a target that has an attribute ``series``, or here."""
    return target.series if hasattr(target, "series") else _kept_series(target)


def polynomial_of(target: Target) -> Series | None:
    """The series of a target that has few coefficients, and no more."""
    found = series_of(target)
    if found is None or found.tail > COMPLETE:
        return None
    scale = math.sqrt(sum(c * c for c in found.coefficients.values()))
    kept = {index: c for index, c in found.coefficients.items() if abs(c) > 1e-12 * scale}
    small = all(sum(index) <= LARGEST_DEGREE for index in kept)
    return found._replace(coefficients=kept) if small and len(kept) <= MOST_COEFFICIENTS else None


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
