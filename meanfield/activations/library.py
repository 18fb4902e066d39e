"""The activations that the library knows by name, and which one a user means."""

from __future__ import annotations

import copyreg
import math
import re
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.polynomial.hermite_e import herme2poly
from scipy.special import expit

from meanfield import checks
from meanfield.activations.base import Activation
from meanfield.activations.own import custom, present, restored
from meanfield.gaussian import closed_forms as forms
from meanfield.kernels.activations import units

LARGEST_DEGREE = 20  # of a Hermite polynomial: its coefficients keep 1e-10 of its value to here

# a strip of 3.5: entire, but as steep off the axis as the Gaussian inside
ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        # erf(x/√2), as in Saad & Solla 1995
        Activation(
            "erf", units.ERF, forms.erf_value, forms.erf_slope, odd=True, strip=3.5,
            closed=forms.ERF_FORM,
        ),
        Activation(
            "relu", units.RELU, forms.relu_value, forms.relu_slope, smooth=False, homogeneous=True,
            kinks=(0.0,), closed=forms.RELU_FORM,
        ),
        Activation(
            "square", units.SQUARE, forms.square_value, forms.square_slope,
            closed=forms.SQUARE_FORM, powers=(0.0, 0.0, 1.0),
        ),
        Activation("tanh", units.TANH, np.tanh, forms.tanh_slope, odd=True, strip=0.5 * math.pi),
        Activation("sigmoid", units.SIGMOID, expit, forms.sigmoid_slope, strip=math.pi),
        Activation("softplus", units.SOFTPLUS, forms.softplus_value, expit, strip=math.pi),
        Activation(
            "gelu", units.GELU, forms.gelu_value, forms.gelu_slope, strip=3.5,
            closed=forms.GELU_FORM,
        ),
        Activation("sine", units.SINE, np.sin, np.cos, odd=True, strip=3.5, closed=forms.SINE_FORM),
    )
}  # fmt: skip


@lru_cache(maxsize=64)
def leaky_relu(slope: float = 0.01) -> Activation:
    """max(x, slope·x); by name ``"leaky_relu"`` (slope 0.01) or ``"leaky_relu(0.2)"``.

    Parameters
    ----------
    slope : float
        Slope below 0, in [0, 1).

    Returns
    -------
    Activation

    Raises
    ------
    TypeError, ValueError
        If `slope` is not as above.

    Examples
    --------
    >>> import meanfield as mf
    >>> mf.Problem(mf.CommitteeTarget(k=1), mf.activations.leaky_relu(0.2)).activation
    'leaky_relu(0.2)'
    """
    slope = checks.real(slope, "slope", minimum=0.0)
    if slope >= 1.0:
        raise ValueError(f"slope must be below 1, got {slope:g}")
    name = "leaky_relu" if slope == 0.01 else f"leaky_relu({slope!r})"
    return Activation(
        name, units.LEAKY_RELU,
        lambda x: np.where(x > 0, x, slope * x), lambda x: np.where(x > 0, 1.0, slope),
        smooth=False, homogeneous=True, parameter=slope, kinks=(0.0,),
        closed=forms.leaky_form(slope),
    )  # fmt: skip


@lru_cache(maxsize=64)
def hermite(degree: int) -> Activation:
    """He_n(x)/√n!, the probabilists' Hermite polynomial of unit norm; by name ``"hermite3"``.

    Parameters
    ----------
    degree : int
        n, from 1 to 20.

    Returns
    -------
    Activation

    Raises
    ------
    TypeError, ValueError
        If `degree` is not as above.

    Examples
    --------
    >>> import numpy as np, meanfield as mf
    >>> mf.activations.hermite(2)(np.array([1.0, 2.0])).round(3)  # (x² − 1)/√2
    array([0.   , 2.121])
    """
    n = checks.integer(degree, "degree")
    if n > LARGEST_DEGREE:
        raise ValueError(f"degree must be at most {LARGEST_DEGREE}, got {n}")
    powers = herme2poly([0.0] * n + [1.0]) / math.sqrt(math.factorial(n))
    return Activation(
        f"hermite{n}", units.HERMITE,
        lambda x: forms.hermite_value(n, x), lambda x: math.sqrt(n) * forms.hermite_value(n - 1, x),
        odd=n % 2 == 1, homogeneous=n == 1, parameter=float(n), strip=3.5,
        closed=forms.polynomial_form(powers), powers=tuple(map(float, powers)),
    )  # fmt: skip


def get_activation(name: Any, argument: str = "activation") -> Activation:
    """Return an activation by name, or one made of a user's function.

    Parameters
    ----------
    name : str, Activation, callable or dict
        ``"erf"`` (erf(x/√2)), ``"relu"``, ``"leaky_relu"``, ``"square"``, ``"hermite1"`` to
        ``"hermite20"``, ``"tanh"``, ``"sigmoid"``, ``"softplus"``, ``"gelu"``, ``"sine"``; an
        activation, as it is; a function, see `custom`; or what `Activation.parameters` gave.
    argument : str
        The name of the caller's argument, for the error message.

    Raises
    ------
    TypeError, ValueError
        If `name` is not a known activation.
    """
    if isinstance(name, Activation):
        return present(name) if name.code == units.CUSTOM else name
    if isinstance(name, dict) and "function" in name:
        return restored(name)
    if isinstance(name, str):
        found = ACTIVATIONS.get(name) or _with_number(name)
        if found is not None:
            return found
    elif callable(name):
        return custom(name)
    known = (*ACTIVATIONS, "leaky_relu", "hermite1 to hermite20")
    return ACTIVATIONS[checks.option(name, argument, known)]


@lru_cache(maxsize=64)  # problems and targets hold names, and ask at every turn
def _with_number(name: str) -> Activation | None:
    """An activation that is named after its parameter."""
    if found := re.fullmatch(r"hermite(\d+)", name):
        return hermite(int(found[1]))
    if found := re.fullmatch(r"leaky_relu(?:\(([0-9.e-]+)\))?", name):
        return leaky_relu(float(found[1] or 0.01))
    return None


def named(activation: Activation) -> str | Activation:
    """How an activation is kept as an argument: by name, or a user's own as it is."""
    return activation if activation.code == units.CUSTOM else activation.name


def _reduced(activation: Activation) -> tuple[Any, ...]:
    # by name: the library's own hold closures, which do not pickle
    if activation.code != units.CUSTOM:
        return get_activation, (activation.name,)
    return Activation, tuple(getattr(activation, name) for name in activation.__dataclass_fields__)


copyreg.pickle(Activation, _reduced)
