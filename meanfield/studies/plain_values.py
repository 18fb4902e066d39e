"""What a specification is made of: plain values, of which some name functions of users.

Equal values have equal hashes everywhere: whatever the order of keys, the process, the platform,
and whether a whole number was written 1 or 1.0. Problems are built from them, and described in
them with users' functions by the names they can be imported under.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np

from meanfield import checks, targets
from meanfield.activations import Activation, custom
from meanfield.functions.captures import SCHEME, fingerprint
from meanfield.problem import RATES, Problem
from meanfield.targets import CommitteeTarget, MultiIndexTarget
from meanfield.targets.build import one_of

Values = Mapping[str, Any]
TARGETS: dict[str, Callable[..., Any]] = {
    "committee": CommitteeTarget,
    "multi-index": MultiIndexTarget,
    "hermite_link": targets.hermite_link,
    "staircase": targets.staircase,
    "parity": targets.parity,
    "together": one_of,
}

# what may name a user's function in the plain values of a run
NAMING = ("function", "derivative", "activation", "law", "observables")


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


def build_problem(values: Values, place: str = "problem") -> Problem:
    """The problem that plain values describe; a target without a kind is a committee."""
    refuse_unknown(values, set(inspect.signature(Problem).parameters), place)
    if not isinstance(values.get("target"), Mapping):
        raise ValueError(f"{place}.target must be a mapping, got {values.get('target')!r}")
    arguments = {**values, "target": _target(values["target"], f"{place}.target")}
    if "activation" in values:
        arguments["activation"] = _activation(values["activation"])
    for name in RATES:
        if isinstance(values.get(name), Mapping):
            arguments[name] = _rate(values[name], f"{place}.{name}")
    for name in ("dim", "clip_norm"):
        if values.get(name) == "inf":
            arguments[name] = math.inf
    try:
        return Problem(**arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{place}: {error}") from error


def describe_problem(problem: Problem, place: str = "problem") -> dict[str, Any]:
    """What `build_problem` takes, everything said; functions by name.

    Raises
    ------
    ValueError
        If a function has no name to import it by.
    """
    described = _named(problem.parameters(), place)
    assert isinstance(described, dict)
    return described


def function_versions(values: Values) -> dict[str, str]:
    """Fingerprints of the functions that plain values name, by "function name".

    Of a problem's parts, of laws that draw a start, and of observables and reducers.
    """
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= function_versions(value)
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for item in value:
                found |= function_versions(item)
        elif key in NAMING:
            for name in value if isinstance(value, list | tuple) else [value]:
                if ":" in str(name):
                    marks = fingerprint(find_function(name))
                    mark = f"{SCHEME}: {marks.code[:32]} {marks.captured[:32]}"
                    found[f"function {name}"] = mark
    return found


def changed_functions(made: Mapping[str, str], values: Values) -> list[str]:
    """The functions of a run that are other ones than those that made a result.

    Nothing is known of results older than fingerprints, or of byte code of another Python.
    """
    return [
        name
        for name, mark in function_versions(values).items()
        if made.get(name, "").startswith(f"{SCHEME}:") and made[name] != mark
    ]


def _target(values: Values, place: str) -> Any:
    kind = values.get("kind", "committee")
    arguments = {key: value for key, value in values.items() if key != "kind"}
    make: Callable[..., Any]
    if ":" in str(kind):
        make = targets.own_target_class(find_function(kind), kind)
    else:
        make = TARGETS[checks.option(kind, f"{place}.kind", TARGETS)]
    refuse_unknown(arguments, set(inspect.signature(make).parameters), place)
    if kind == "together" and isinstance(arguments.get("targets"), list | tuple):
        each = enumerate(arguments["targets"])
        arguments["targets"] = [_target(t, f"{place}.targets[{i}]") for i, t in each]
    function = arguments.get("function")
    known = targets.described_function(function) if isinstance(function, Mapping) else None
    if known is not None:
        arguments["function"] = known
    elif "function" in arguments:
        arguments["function"] = find_function(_reference(function, f"{place}.function"))
    if "activation" in arguments:
        arguments["activation"] = _activation(arguments["activation"])
    if isinstance(arguments.get("noise"), Mapping):
        arguments["noise"] = _rate(arguments["noise"], f"{place}.noise")
    try:
        return make(**arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{place}: {error}") from error


def _rate(values: Values, place: str) -> Values:
    """A schedule in plain values, its function found by name."""
    if isinstance(values.get("law"), str):
        return {**values, "law": find_function(_reference(values["law"], f"{place}.law"))}
    return values


def _activation(value: Any) -> Any:
    """An activation by name, of a function "module:name", or a user's own as described."""
    if isinstance(value, str):
        return find_function(value) if ":" in value else value
    if isinstance(value, Mapping) and value.get("kind") == "custom":
        return _custom({key: item for key, item in value.items() if key != "kind"})
    return value


def _custom(values: dict[str, Any]) -> Activation:
    for key in ("function", "derivative"):
        if values.get(key) is not None:
            values[key] = find_function(_reference(values[key], f"activation.{key}"))
    return custom(**values)


def _named(value: Any, place: str) -> Any:
    """A copy in which every described function is its name."""
    if isinstance(value, Mapping):
        if {"reference", "values"} <= set(value):
            return _reference(value, place)
        return {key: _named(item, f"{place}.{key}") for key, item in value.items()}
    return [_named(item, place) for item in value] if isinstance(value, list) else value


def _reference(function: Any, place: str) -> str:
    name = function.get("reference") if isinstance(function, Mapping) else function
    if not isinstance(name, str) or ":" not in name:
        raise ValueError(
            f"{place} must be a function that other processes can import, by its name "
            f"'module:function', got {'one without a name' if name is None else repr(name)}"
        )
    return name
