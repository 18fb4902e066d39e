"""Values as canonical text, so that equal ones have equal hashes everywhere.

Independent of the order of keys, of the process, of the platform, and of whether a whole number was
written 1 or 1.0.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
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
