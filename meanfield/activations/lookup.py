"""Which activation a user means: by name, an `Activation` itself, or a function of theirs."""

from __future__ import annotations

import copyreg
import re
from typing import Any

from meanfield import checks
from meanfield.activations.base import Activation
from meanfield.activations.library import ACTIVATIONS, hermite, leaky_relu
from meanfield.activations.own import custom, present, restored
from meanfield.kernels.activations import codes


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
        return present(name) if name.code == codes.CUSTOM else name
    if isinstance(name, dict) and "function" in name:
        return restored(name)
    if isinstance(name, str) and name not in ACTIVATIONS:
        if found := re.fullmatch(r"hermite(\d+)", name):
            return hermite(int(found[1]))
        if found := re.fullmatch(r"leaky_relu(?:\(([0-9.e-]+)\))?", name):
            return leaky_relu(float(found[1] or 0.01))
    elif callable(name):
        return custom(name)
    known = (*ACTIVATIONS, "leaky_relu", "hermite1 to hermite20")
    return ACTIVATIONS[checks.option(name, argument, known)]


def named(activation: Activation) -> str | Activation:
    """How an activation is kept as an argument: by name, or a user's own as it is."""
    return activation if activation.code == codes.CUSTOM else activation.name


def _reduced(activation: Activation) -> tuple[Any, ...]:
    # by name: the library's own hold closures, which do not pickle
    if activation.code != codes.CUSTOM:
        return get_activation, (activation.name,)
    return Activation, tuple(getattr(activation, name) for name in activation.__dataclass_fields__)


copyreg.pickle(Activation, _reduced)
