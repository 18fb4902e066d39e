"""A user's function compiled is held to the same function interpreted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

AGREEMENT = 1e-9  # of compiled and interpreted values, relative to the largest


def refuse_other(
    what: str, interpreted: NDArray[np.float64], compiled: NDArray[np.float64]
) -> None:
    """Refuse compiled code that is not what every other description calls."""
    size = float(np.abs(interpreted).max())
    if not np.allclose(interpreted, compiled, rtol=AGREEMENT, atol=AGREEMENT * size):
        worst = float(np.abs(interpreted - compiled).max())
        raise ValueError(
            f"SGD calls the {what} compiled, and what numba made of it gives values that differ by "
            f"{worst:.2g} from those that Python gives now: does it draw random numbers, or call "
            "compiled functions whose captured values changed (their `recompile()` helps)?"
        )


def refusal(what: str, error: Exception) -> str:
    """Why SGD cannot have a function."""
    return (
        f"SGD calls the {what} once a sample and needs it compiled, but numba refused: {error}; "
        "simple NumPy of columns z[:, 0] and loops compile"
    )
