"""Targets that are polynomials of the principal coordinates, by their Hermite coefficients."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from meanfield.fields.base import Array
from meanfield.fields.units import Units
from meanfield.targets import MultiIndexTarget, Polynomial, hermite_coefficients

TARGET_DEGREE = 8
COMPLETE = 1e-10  # share of E f*² that may lie beyond
MOST_COEFFICIENTS, MOST_COORDINATES = 1000, 4

Expansion = list[tuple[tuple[int, ...], float]]


@lru_cache(maxsize=16)
def expansion_of(target: MultiIndexTarget) -> Expansion | None:
    """The Hermite coefficients of a target that has no more of them; None if it has."""
    function = target.function
    known = isinstance(function, Polynomial)
    if not known and target.rank > MOST_COORDINATES:
        return None  # its coefficients would be known to three digits
    found = hermite_coefficients(target, TARGET_DEGREE)
    error = max(error for _, error in found.values())
    scale = math.sqrt(sum(c * c for c, _ in found.values()))
    kept = [(index, c) for index, (c, _) in found.items() if abs(c) > 1e-12 * scale]
    if isinstance(function, Polynomial):
        complete = max(map(sum, function.exponents)) <= TARGET_DEGREE
    else:
        energy = target.second_moment()
        complete = error <= 1e-9 * scale and abs(energy - scale**2) <= COMPLETE * energy
    return kept if complete and len(kept) <= MOST_COEFFICIENTS else None


def polynomial_part(expansion: Expansion, at: Units) -> tuple[Array, Array, Array]:
    """E f* σ(λ) at neurons and its slopes in u and r; at.h … must hold every term."""
    value, out_u, out_r = np.zeros_like(at.r), np.zeros_like(at.u), np.zeros_like(at.r)
    direction, across = at.u / at.root[:, None], at.r / at.root
    for index, c in expansion:
        m, k = sum(index), len(index)
        amplitude = c * math.sqrt(math.factorial(m) / math.prod(map(math.factorial, index)))
        monomial = np.prod(direction ** np.array(index), axis=1)
        spread = amplitude * monomial * at.t[:, m] * at.root
        value += amplitude * monomial * at.h[:, m]
        out_u += spread[:, None] * direction
        out_r += spread * across
        for x in range(k):
            if index[x]:
                lowered = np.array(index) - (np.arange(k) == x)
                slope = np.prod(direction**lowered, axis=1) * at.s[:, m - 1] / math.sqrt(m)
                out_u[:, x] += amplitude * index[x] * slope
    return value, out_u, out_r
