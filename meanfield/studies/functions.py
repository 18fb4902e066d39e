"""Users' functions by name, and keys that nobody knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


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


def function_name(function: Callable[..., Any], place: str) -> str:
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
