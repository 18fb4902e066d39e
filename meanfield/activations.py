"""Activation functions, known to the kernels by an integer code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from meanfield import checks
from meanfield.kernels.codes import ERF, RELU, SQUARE

Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Activation:
    """One activation σ.

    Attributes
    ----------
    name : str
        The word users pass.
    code : int
        What the compiled kernels branch on.
    function, derivative : callable
        σ and σ', elementwise on arrays.
    smooth : bool
        False where σ has a kink, which decides how integrals over it are laid out.
    """

    name: str
    code: int
    function: Function = field(repr=False, compare=False)
    derivative: Function = field(repr=False, compare=False)
    smooth: bool = True

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """σ(x), elementwise."""
        return self.function(x)


def _erf(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return erf(x / np.sqrt(2.0))


def _erf_derivative(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt(2.0 / np.pi) * np.exp(-0.5 * x * x)


def _relu(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(x, 0.0)


def _relu_derivative(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return (x > 0).astype(np.float64)


def _square(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return x * x


def _square_derivative(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 2.0 * x


ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        Activation("erf", ERF, _erf, _erf_derivative),  # erf(x/√2), as in Saad & Solla 1995
        Activation("relu", RELU, _relu, _relu_derivative, smooth=False),
        Activation("square", SQUARE, _square, _square_derivative),
    )
}


def get_activation(name: Any, argument: str = "activation") -> Activation:
    """Return the activation called `name`.

    Parameters
    ----------
    name : str
        One of ``"erf"`` (erf(x/√2)), ``"relu"``, ``"square"``.
    argument : str
        The name of the caller's argument, for the error message.

    Raises
    ------
    TypeError, ValueError
        If `name` is not a known activation.
    """
    return ACTIVATIONS[checks.option(name, argument, ACTIVATIONS)]
