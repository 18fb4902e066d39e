"""What a target must have, and what it may have besides.

A class of anyone's is a target if it has the attributes of `Target`. All else can be derived by
functions of `meanfield.targets`; a class that knows better says so in one of these:

- ``units``, a `LinkUnits`, if f* is a sum of one link over directions: closed forms follow;
- ``coefficients``, all its Hermite coefficients by multi-index, if they are known exactly;
- ``potential(student, expanded=False)``: E f* σ(λ) in a way of its own; see `potential`;
- ``labels()``, the address of a compiled function of one point, which SGD calls; see
  `compiled_labels`. SGD alone needs it, of a target without units;
- ``title``, how a picture calls it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.activations import Activation
from meanfield.functions.users import refusal, refuse_other, source_of
from meanfield.kernels.activations.own import CompilationError, point_address, point_values

Array = NDArray[np.float64]

SAMPLE = 256  # points that tell functions apart


class Target(Protocol):
    """A function f* of the principal coordinates z ~ N(0, I) of an input, and its label noise.

    It is hashable, equal to one that says the same, and does not change. With `parameters()` of
    which ``"kind"`` is ``"module:Class"`` and the rest are arguments, stored results and studies
    build it again.

    Examples
    --------
    >>> import meanfield as mf
    >>> target: mf.targets.Target = mf.targets.parity(2)
    >>> target.rank, target.second_moment()
    (2, 1.0)
    """

    @property
    def k(self) -> int:
        """Number of target directions."""

    @property
    def rank(self) -> int:
        """Dimension of the principal subspace, the rank of `gram`."""

    @property
    def basis(self) -> Array:
        """B (k, rank), lower triangular, with P = B Bᵀ: λ* = B z."""

    @property
    def gram(self) -> Any:
        """P = W* W*ᵀ/d (k, k)."""

    @property
    def noise(self) -> float:
        """Δ, the variance of the label noise."""

    @property
    def smooth(self) -> bool:
        """Whether f* has no kinks and no jumps."""

    def __call__(self, z: Array) -> Array:
        """f* at principal coordinates z, shape (..., rank) -> (...)."""

    def second_moment(self) -> float:
        """E f*²."""

    def second_moment_error(self) -> float:
        """Estimate of the error of `second_moment`."""

    def parameters(self) -> dict[str, Any]:
        """What is needed to build the target again, in plain values."""

    def __hash__(self) -> int: ...


NEEDED = (
    "k", "rank", "basis", "gram", "noise", "smooth", "__call__", "second_moment",
    "second_moment_error", "parameters",
)  # fmt: skip


class LinkUnits(NamedTuple):
    """f*(z) = (1/k) Σ_r weights_r σ*(b_r·z): the link σ*, the rows b_r (k, rank), a* (k,).

    Examples
    --------
    >>> import meanfield as mf
    >>> mf.CommitteeTarget(k=2, weights=[1.0, -1.0]).units.shares
    array([ 0.5, -0.5])
    """

    link: Activation
    basis: Array
    weights: Array

    @property
    def shares(self) -> Array:
        """a*_r/k."""
        return np.asarray(self.weights) / len(self.weights)


def check_target(value: Any, name: str = "target") -> Target:
    """Return what has all that a target must have; refuse anything else."""
    lacks = [attribute for attribute in NEEDED if not hasattr(value, attribute)]
    if type(value).__hash__ is None:
        lacks.append("__hash__")
    if lacks:
        raise TypeError(
            f"{name} must be a CommitteeTarget or a MultiIndexTarget, or have what "
            f"meanfield.targets.Target lists, got {type(value).__name__} without "
            f"{', '.join(lacks)}"
        )
    return value


def units_of(target: Target) -> LinkUnits | None:
    """The units of a target that is a sum of them."""
    return getattr(target, "units", None)


def has_gram(target: Target, P: Array) -> bool:
    """Whether P (k, k) is the target's Gram matrix, but for what overlaps lose by rounding."""
    gram = np.asarray(target.gram)
    return P.shape == gram.shape and np.allclose(P, gram, rtol=0.0, atol=1e-8 * np.abs(gram).max())


def title_of(target: Target) -> str:
    """How a picture calls a target."""
    return str(getattr(target, "title", f"a {type(target).__name__}"))


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
