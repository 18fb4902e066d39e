"""Kernels as numba itself compiles them: a first call waits two or three times as long.

`pieces` stands on insides of numba, which its next version may change. For versions that it was not
tried with, kernels are made here.
"""

from __future__ import annotations

from typing import Any

from numba import njit

FINISHED: dict[str, Any] = {}


def kernel(entry: dict[str, Any], shared: dict[str, Any]) -> Any:
    """A decorator; see `pieces.kernel`."""
    return njit(forceinline=True, **entry, **shared)
