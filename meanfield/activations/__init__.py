"""Activation functions, by name or of one's own."""

from __future__ import annotations

import re
from typing import Any

from meanfield import checks
from meanfield.activations.base import Activation as Activation
from meanfield.activations.library import ACTIVATIONS as ACTIVATIONS
from meanfield.activations.library import hermite as hermite
from meanfield.activations.library import leaky_relu as leaky_relu
from meanfield.activations.own import custom as custom
from meanfield.activations.own import present, restored
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
