"""Targets that are any function of the principal coordinates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.functions import (
    KeptWhileSame,
    StoredFunction,
    describe_function,
    function_name,
    restored_function,
    values_at,
)
from meanfield.quadrature import gaussian_mean

Array = NDArray[np.float64]

# degrees to which a smooth function of k coordinates is expanded, and what it may leave out
SERIES_DEGREE = {1: 80, 2: 52, 3: 22, 4: 10}
SERIES_TAIL = 3e-3
SAMPLE = 256  # points that tell functions apart


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


@lru_cache(maxsize=64)
def plain_polynomial(polynomial: Polynomial) -> Callable[[Array], Array]:
    """The same as a function of nothing but loops, which compiles."""
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


@dataclass(frozen=True, eq=False)
class MultiIndexTarget:
    """Any function f*(x) = g(z) of the k principal coordinates z of an input.

    z_r = w*_r·x/√d with orthonormal w*_r/√d, so z ~ N(0, I_k).

    Parameters
    ----------
    function : callable
        g, from an array of points (n, k) to their values (n,). It may grow like a polynomial. SGD
        compiles it with numba and refuses if that fails; every other description takes it as it is.
    k : int
        Number of coordinates.
    noise : float
        Δ ≥ 0, the variance of the label noise. The population risk leaves it out.
    smooth : bool
        False where g has kinks or jumps: quadratures then break at the coordinate planes.
    name : str, optional
        How to call it in titles; by default the function's own name.

    Attributes
    ----------
    rank : int
        k.
    basis, gram : ndarray, shape (k, k)
        The identity.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; the message names it.

    Notes
    -----
    A function that can be imported by name is found again when a stored result is loaded; of
    another (a lambda) a fingerprint of its code and of what it captures is stored, and some of its
    values, enough to tell two targets apart. A function follows what it captures: an array that is
    written to between two runs is another target in the second.

    Examples
    --------
    >>> import meanfield as mf
    >>> target = mf.MultiIndexTarget(lambda z: z[:, 0] * z[:, 1], k=2)
    >>> round(target.second_moment(), 12)
    1.0
    """

    function: Callable[[Array], Array]
    k: int
    noise: float = 0.0
    smooth: bool = True
    name: str | None = None
    rank: int = field(init=False)
    basis: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        k = checks.integer(self.k, "k")
        if not callable(self.function):
            raise TypeError(f"function must be a function of z (n, k), got {self.function!r}")
        if not isinstance(self.smooth, bool | np.bool_):
            raise TypeError(f"smooth must be True or False, got {self.smooth!r}")
        basis = np.eye(k)
        basis.setflags(write=False)
        values = {
            "k": k,
            "noise": checks.real(self.noise, "noise", minimum=0.0),
            "smooth": bool(self.smooth),
            "name": function_name(self.function) if self.name is None else str(self.name),
            "rank": k,
            "basis": basis,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self.parameters()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MultiIndexTarget):
            return NotImplemented
        return checks.same_values(self.parameters(), other.parameters())

    def __hash__(self) -> int:
        return hash((self.k, self.noise, self.smooth, self.name))

    def __reduce__(self) -> tuple[Any, ...]:
        # built anew: pickled arrays would come back writable
        return rebuilt, (self.function, self.parameters())

    @property
    def gram(self) -> Array:
        """The identity (k, k)."""
        return self.basis

    @property
    def title(self) -> str:
        """For a picture."""
        return f"the target {self.name}"

    def __call__(self, z: Array) -> Array:
        """f* at principal coordinates z, shape (..., k) -> (...)."""
        z = np.asarray(z, dtype=np.float64)
        return np.asarray(self.function(z.reshape(-1, self.k)), dtype=np.float64).reshape(
            z.shape[:-1]
        )

    def second_moment(self) -> float:
        """E f*², by quadrature."""
        return self._second_moment

    @KeptWhileSame
    def _second_moment(self) -> float:
        return gaussian_mean(lambda z: self(z) ** 2, self.k, smooth=self.smooth).value

    @KeptWhileSame
    def series(self) -> tuple[dict[tuple[int, ...], float], float] | None:
        """Hermite coefficients and the relative norm of what they leave out, if that is small."""
        from meanfield.targets.exponents import hermite_coefficients, polynomial_coefficients

        if isinstance(self.function, Polynomial):
            return polynomial_coefficients(self.function), 0.0
        if not self.smooth or self.k not in SERIES_DEGREE:
            return None
        found = hermite_coefficients(self, SERIES_DEGREE[self.k])
        held = sum(c * c for c, _ in found.values()) / self.second_moment()
        tail = max(1.0 - held, 0.0) ** 0.5
        return ({a: c for a, (c, _) in found.items()}, tail) if tail <= SERIES_TAIL else None

    def parameters(self) -> dict[str, Any]:
        """What is needed to build the target again."""
        return {"kind": "multi-index", "function": self._described, "k": self.k,
                "noise": self.noise, "smooth": self.smooth, "name": self.name}  # fmt: skip

    @KeptWhileSame
    def _described(self) -> dict[str, Any]:
        if isinstance(self.function, Polynomial):
            exponents = [list(powers) for powers in self.function.exponents]
            return {"exponents": exponents, "coefficients": list(self.function.coefficients)}
        points = sample_points(self.k)
        values = values_at(self.function, "function", points, (len(points),))
        return describe_function(self.function, values)


def sample_points(k: int, count: int = SAMPLE) -> Array:
    """Where a function is sampled, to know it again; older files hold nine points."""
    return np.random.default_rng(k).standard_normal((count, k))


def rebuilt(function: Any, parameters: Mapping[str, Any]) -> MultiIndexTarget:
    """A target whose function need not be there to be called: its description is taken as given."""
    target = object.__new__(MultiIndexTarget)
    target.__dict__["function"] = function
    if isinstance(function, StoredFunction):
        target.__dict__["_described"] = parameters["function"]
    for name in ("k", "noise", "smooth", "name"):
        object.__setattr__(target, name, parameters[name])
    target.__post_init__()
    return target


def multi_index_from_parameters(parameters: Mapping[str, Any]) -> MultiIndexTarget:
    """Build the target that `MultiIndexTarget.parameters` described."""
    described = parameters["function"]
    if "exponents" in described:
        function: Any = Polynomial(
            tuple(tuple(powers) for powers in described["exponents"]),
            tuple(described["coefficients"]),
        )
    else:
        function = restored_function(described, lambda count: sample_points(parameters["k"], count))
    return rebuilt(function, parameters)
