"""What a specification is made of: plain values, of which some name functions of users.

Equal values have equal hashes everywhere: whatever the order of keys, the process, the platform,
and whether a whole number was written 1 or 1.0.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np


def plain(value: Any, place: str) -> Any:
    """A copy of `value` in what JSON and TOML know; infinity becomes "inf".

    Raises
    ------
    TypeError, ValueError
        If `value` holds anything else; the message names its place.
    """
    if hasattr(value, "parameters"):
        value = value.parameters()
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{place} must have words as keys, got {key!r}")
        return {key: plain(item, f"{place}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{place}[{i}]") for i, item in enumerate(value)]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if math.isnan(value) or value == -math.inf:
            raise ValueError(f"{place} must not be {value}")
        return "inf" if math.isinf(value) else value
    raise TypeError(
        f"{place} must be a number, a word, a list or a mapping of them, got {type(value).__name__}"
    )


def digest(value: Any) -> str:
    """SHA-256 of a plain value, 64 hexadecimal digits."""
    text = json.dumps(_whole(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _whole(value: Any) -> Any:
    """Whole floats as integers: a file may say 1 where a program says 1.0."""
    if isinstance(value, Mapping):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def find_function(name: str) -> Callable[..., Any]:
    """The function that "module:function" names.

    Raises
    ------
    ValueError
        If there is none.
    """
    module, _, attribute = name.partition(":")
    try:
        found = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"cannot find the function {name!r}: {error}") from error
    if not callable(found):
        raise ValueError(f"{name!r} must name a function, it is a {type(found).__name__}")
    return found


def importable_name(function: Callable[..., Any], place: str) -> str:
    """Name a function that other processes can import, in the form "module:function"."""
    name = f"{function.__module__}:{getattr(function, '__qualname__', '')}"
    try:
        same = find_function(name) is function
    except ValueError:
        same = False
    if not same:
        raise ValueError(
            f"{place} must be a function that other processes can import from a module, got "
            f"{function!r}; move it out of functions and lambdas"
        )
    return name


def names_modules(value: Any) -> bool:
    """Whether a plain value holds the name of a function, which to look for is to import."""
    if isinstance(value, Mapping):
        return any(map(names_modules, value.values()))
    if isinstance(value, list):
        return any(map(names_modules, value))
    return isinstance(value, str) and ":" in value


def refuse_unknown(values: Mapping[str, Any], allowed: set[str], place: str) -> None:
    """Raise if a key is not among those allowed; the message names its place."""
    for name in values:
        if name not in allowed:
            raise ValueError(f"{place}.{name} is not known; allowed: {', '.join(sorted(allowed))}")
