"""The labels of a target as SGD's compiled steps call them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.functions.users import refusal, refuse_other, source_of
from meanfield.kernels.activations.own import CompilationError, point_address, point_values
from meanfield.targets.base import Target

Array = NDArray[np.float64]

SAMPLE = 256  # points that tell functions apart


def sample_points(k: int, count: int = SAMPLE) -> Array:
    """Where a function is sampled, to know it again; older files hold nine points."""
    return np.random.default_rng(k).standard_normal((count, k))


def compiled_labels(
    function: Callable[[Array], Array],
    k: int,
    *,
    name: str = "",
    truth: Callable[[Array], Array] | None = None,
) -> int:
    """Compile a function of z (n, k) for SGD: what ``labels()`` of a target returns.

    Parameters
    ----------
    function : callable
        From points (n, k) to values (n,), of loops and NumPy that numba compiles.
    k : int
        Number of coordinates.
    name : str
        What to call it in messages.
    truth : callable, optional
        What the other descriptions call, if that is another function of the same values.

    Returns
    -------
    int
        Address of the compiled function of one point, kept for all that the function captures.

    Raises
    ------
    ValueError
        If numba cannot compile it, with numba's reason, or what it compiled gives other values.

    Examples
    --------
    >>> import meanfield as mf
    >>> mf.targets.compiled_labels(lambda z: z[:, 0] * z[:, 1], 2) > 0
    True
    """
    k = checks.integer(k, "k")
    what, points = f"target {name!r}" if name else "target", sample_points(k)
    try:
        address = point_address(source_of(function), k)
    except CompilationError as error:
        raise ValueError(refusal(what, error)) from error
    refuse_other(
        what, (function if truth is None else truth)(points), point_values(address, points)
    )
    return address[0]


def label_address(target: Target) -> int:
    """The address that a target without units gives."""
    labels: Any = getattr(target, "labels", None)
    if labels is None:
        raise ValueError(
            f"target must have labels() for SGD, which {type(target).__name__} lacks: return "
            "meanfield.targets.compiled_labels(function, k)"
        )
    if not np.array_equal(target.gram, np.eye(target.k)):
        raise ValueError(
            "target must have orthonormal directions for SGD, that is the identity as its gram, "
            "if it is not a sum of units"
        )
    return int(labels())
