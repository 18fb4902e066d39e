"""Functions of principal coordinates whose Hermite coefficients are known exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.gaussian.hermite_coefficients import hermite_table

Array = NDArray[np.float64]
MultiIndex = tuple[int, ...]


@dataclass(frozen=True)
class Polynomial:
    """Σ_m c_m Π_j z_j^{e_mj}, as a function of z (n, k).

    Attributes
    ----------
    exponents : tuple of tuple of int
        One tuple of k exponents e_m for each term.
    coefficients : tuple of float
        c_m.
    """

    exponents: tuple[tuple[int, ...], ...]
    coefficients: tuple[float, ...]

    def __call__(self, z: Array) -> Array:
        """Values (n,) at the points z (n, k)."""
        total = np.zeros(len(z))
        for powers, coefficient in zip(self.exponents, self.coefficients, strict=True):
            term = np.full(len(z), coefficient)
            for j, power in enumerate(powers):
                if power:
                    term *= z[:, j] ** power
            total += term
        return total

    def hermite(self) -> dict[MultiIndex, float]:
        """c_α of Σ_α c_α Π_j He_{α_j}(z_j)/√α_j!.

        By z^n = Σ_m n!/(2^m m! (n−2m)!) He_{n−2m}(z), in whole numbers: sums of high degree cancel.
        """
        found: dict[MultiIndex, Fraction] = {}
        for powers, coefficient in zip(self.exponents, self.coefficients, strict=True):
            terms: dict[MultiIndex, Fraction] = {(): Fraction(coefficient)}
            for power in powers:
                terms = {
                    (*index, power - 2 * m): c * _pairings(power, m)
                    for index, c in terms.items()
                    for m in range(power // 2 + 1)
                }
            for index, c in terms.items():
                found[index] = found.get(index, Fraction(0)) + c
        return {
            index: float(c) * math.sqrt(math.prod(map(math.factorial, index)))
            for index, c in found.items()
            if c
        }

    def plain(self) -> Callable[[Array], Array]:
        """The same as a function of nothing but loops, which compiles."""
        return _plain_polynomial(self)


def _pairings(n: int, m: int) -> int:
    """Ways to take m pairs out of n."""
    return math.factorial(n) // (2**m * math.factorial(m) * math.factorial(n - 2 * m))


@dataclass(frozen=True)
class HermiteSeries:
    """Σ_α c_α Π_j He_{α_j}(z_j)/√α_j!, as a function of z (n, k).

    Values come from the recurrence of the polynomials: powers of z would cancel, by 1e-10 of the
    value at degree 20 and by all of it at 40.

    Attributes
    ----------
    degrees : tuple of tuple of int
        The multi-indices α, of k entries each.
    coefficients : tuple of float
        c_α.
    """

    degrees: tuple[tuple[int, ...], ...]
    coefficients: tuple[float, ...]

    def __call__(self, z: Array) -> Array:
        """Values (n,) at the points z (n, k)."""
        table = hermite_table(z.T, max(map(max, self.degrees)) + 1)
        total = np.zeros(len(z))
        for index, coefficient in zip(self.degrees, self.coefficients, strict=True):
            term = np.full(len(z), coefficient)
            for j, n in enumerate(index):
                if n:
                    term *= table[n, j]
            total += term
        return total

    def hermite(self) -> dict[MultiIndex, float]:
        """c_α by α."""
        return dict(zip(self.degrees, self.coefficients, strict=True))

    def plain(self) -> Callable[[Array], Array]:
        """The same as a function of nothing but loops, which compiles."""
        return _plain_series(self)


def described_function(described: Mapping[str, Any]) -> Polynomial | HermiteSeries | None:
    """The function of these "exponents" or "degrees" and "coefficients"; None of neither."""
    kinds: dict[str, type[Polynomial] | type[HermiteSeries]]
    kinds = {"exponents": Polynomial, "degrees": HermiteSeries}
    for key, kind in kinds.items():
        if key in described:
            indices = tuple(tuple(index) for index in described[key])
            return kind(indices, tuple(described["coefficients"]))
    return None


@lru_cache(maxsize=64)
def _plain_polynomial(polynomial: Polynomial) -> Callable[[Array], Array]:
    exponents, coefficients = np.array(polynomial.exponents), np.array(polynomial.coefficients)

    def plain(z: Array) -> Array:
        total = np.zeros(len(z))
        for s in range(len(z)):
            for m in range(len(coefficients)):
                term = coefficients[m]
                for j in range(exponents.shape[1]):
                    for _ in range(exponents[m, j]):
                        term *= z[s, j]
                total[s] += term
        return total

    return plain


@lru_cache(maxsize=64)
def _plain_series(series: HermiteSeries) -> Callable[[Array], Array]:
    degrees, coefficients = np.array(series.degrees), np.array(series.coefficients)
    root = np.sqrt(np.arange(max(int(degrees.max()), 1) + 1.0))

    def plain(z: Array) -> Array:
        total, table = np.zeros(len(z)), np.ones((degrees.shape[1], len(root)))
        for s in range(len(z)):
            for j in range(degrees.shape[1]):
                table[j, 1] = z[s, j]
                for n in range(2, len(root)):
                    table[j, n] = z[s, j] * table[j, n - 1] - root[n - 1] * table[j, n - 2]
                    table[j, n] /= root[n]
            for m in range(len(coefficients)):
                term = coefficients[m]
                for j in range(degrees.shape[1]):
                    term *= table[j, degrees[m, j]]
                total[s] += term
        return total

    return plain
