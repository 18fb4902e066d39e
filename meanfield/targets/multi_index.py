"""Targets that are any function of the principal coordinates."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.activations import Activation
from meanfield.functions.users import (
    KeptWhileSame,
    StoredFunction,
    describe_function,
    function_name,
    restored_function,
    values_at,
)
from meanfield.gaussian.cubature import Estimate, gaussian_mean
from meanfield.schedules.make import check_rate, plain_rate
from meanfield.targets.base import compiled_labels, sample_points
from meanfield.targets.hermite import Series, find_series
from meanfield.targets.polynomials import HermiteSeries, Polynomial, described_function
from meanfield.targets.potentials.base import Potential
from meanfield.targets.potentials.choose import potential_of_function

Array = NDArray[np.float64]


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
    noise : float, Schedule or callable
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
    noise: Any = 0.0
    smooth: bool = True
    name: str | None = None
    rank: int = field(init=False)
    basis: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        k = checks.integer(self.k, "k")
        if not callable(self.function):
            raise TypeError(f"function must be a function of z (n, k), got {self.function!r}")
        basis = np.eye(k)
        basis.setflags(write=False)
        values = {
            "k": k,
            "noise": check_rate(self.noise, "noise"),
            "smooth": checks.switch(self.smooth, "smooth"),
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

    @property
    def coefficients(self) -> dict[tuple[int, ...], float] | None:
        """All Hermite coefficients c_α, where they are known exactly; else None."""
        function = self.function
        return function.hermite() if isinstance(function, Polynomial | HermiteSeries) else None

    def labels(self) -> int:
        """Address of f* as a compiled function of one point; see `compiled_labels`."""
        function: Any = self.function
        if isinstance(function, Polynomial | HermiteSeries):
            function = function.plain()
        return compiled_labels(function, self.k, name=str(self.name), truth=self)

    def potential(self, student: Activation, *, expanded: bool = False) -> Potential:
        """V = E f* σ(λ) for a student; see `meanfield.targets.potential_of`."""
        return potential_of_function(self, student, expanded=expanded)

    def second_moment(self) -> float:
        """E f*²: from the coefficients where they are known, else by quadrature."""
        return self._second_moment.value

    def second_moment_error(self) -> float:
        """Estimate of the error of `second_moment`."""
        return self._second_moment.error

    @KeptWhileSame
    def _second_moment(self) -> Estimate:
        if self.coefficients is not None:
            return Estimate(math.fsum(c * c for c in self.coefficients.values()), 0.0)
        return gaussian_mean(lambda z: self(z) ** 2, self.k, smooth=self.smooth)

    @KeptWhileSame
    def series(self) -> Series | None:
        """Hermite coefficients, if they hold nearly all of f*; see `Series`."""
        return find_series(self)

    def parameters(self) -> dict[str, Any]:
        """What is needed to build the target again."""
        return {
            "kind": "multi-index", "function": self._described, "k": self.k,
            "noise": plain_rate(self.noise), "smooth": self.smooth, "name": self.name,
        }  # fmt: skip

    @KeptWhileSame
    def _described(self) -> dict[str, Any]:
        if isinstance(self.function, Polynomial):
            exponents = [list(powers) for powers in self.function.exponents]
            return {"exponents": exponents, "coefficients": list(self.function.coefficients)}
        if isinstance(self.function, HermiteSeries):
            degrees = [list(index) for index in self.function.degrees]
            return {"degrees": degrees, "coefficients": list(self.function.coefficients)}
        points = sample_points(self.k)
        values = values_at(self.function, "function", points, (len(points),))
        return describe_function(self.function, values)


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
    function: Any = described_function(described)
    if function is None:
        function = restored_function(described, lambda count: sample_points(parameters["k"], count))
    return rebuilt(function, parameters)
