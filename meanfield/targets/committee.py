"""The committee target: a two-layer network with k neurons."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh, qr

from meanfield import checks
from meanfield.activations import Activation, get_activation, named
from meanfield.gaussian.cubature import Estimate
from meanfield.gaussian.pair_averages import pair_averages
from meanfield.kernels.activations.units import CUSTOM
from meanfield.schedules.make import check_rate, plain_rate
from meanfield.targets.base import LinkUnits
from meanfield.targets.potentials.base import Potential
from meanfield.targets.potentials.choose import potential_of_units

# eigenvalues of the Gram matrix below this fraction of the largest count as zero
RANK_TOLERANCE = 1e-12


@dataclass(frozen=True, eq=False)
class CommitteeTarget:
    """Committee machine f*(x) = (1/k) Σ_r a*_r σ*(λ*_r), with λ*_r = w*_r·x/√d.

    Parameters
    ----------
    k : int
        Number of target neurons.
    activation : str, Activation or callable
        σ*, as for `Problem`. It need not be the student's.
    gram : array_like, shape (k, k), optional
        P = W* W*ᵀ/d, symmetric and positive semi-definite; the identity by default. A singular P
        is allowed: the principal subspace then has dimension rank P.
    weights : array_like, shape (k,), optional
        a*; ones by default.
    noise : float, Schedule or callable
        Δ ≥ 0, the variance of the label noise. The population risk leaves it out.

    Attributes
    ----------
    rank : int
        Dimension of the principal subspace.
    basis : ndarray, shape (k, rank)
        B, lower triangular with positive diagonal, with P = B Bᵀ: λ* = B z in principal
        coordinates z ~ N(0, I).

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; the message names it.

    Examples
    --------
    >>> import meanfield as mf
    >>> target = mf.CommitteeTarget(k=2, gram=[[1.0, 0.5], [0.5, 1.0]])
    >>> target.rank
    2
    """

    k: int
    activation: str | Activation = "erf"
    gram: ArrayLike | None = None
    weights: ArrayLike | None = None
    noise: Any = 0.0
    rank: int = field(init=False)
    basis: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        k = checks.integer(self.k, "k")
        gram = np.eye(k) if self.gram is None else self.gram
        weights = np.ones(k) if self.weights is None else self.weights
        P = checks.array(gram, "gram", (k, k), described=f"(k, k) = ({k}, {k})")
        basis = triangular_factor(P)
        values = {
            "k": k,
            "activation": named(get_activation(self.activation)),
            "gram": P,
            "weights": checks.array(weights, "weights", (k,), described=f"(k,) = ({k},)"),
            "noise": check_rate(self.noise, "noise"),
            "basis": basis,
            "rank": basis.shape[1],
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CommitteeTarget):
            return NotImplemented
        return checks.same_values(self.parameters(), other.parameters())

    def __hash__(self) -> int:
        entries = np.asarray(self.gram).ravel().tolist()  # as numbers: 0.0 and -0.0 are equal
        return hash((self.k, self.activation, *entries, self.noise))

    def __reduce__(self) -> tuple[Any, ...]:
        # built anew: pickled arrays would come back writable
        names = ("k", "activation", "gram", "weights", "noise")
        return CommitteeTarget, tuple(getattr(self, name) for name in names)

    @property
    def link(self) -> Activation:
        """σ* as an `Activation`."""
        return get_activation(self.activation)

    @property
    def units(self) -> LinkUnits:
        """What closed forms and kernels need to know."""
        return LinkUnits(self.link, self.basis, np.asarray(self.weights))

    @property
    def smooth(self) -> bool:
        """Whether f* has no kinks."""
        return self.link.smooth

    @property
    def title(self) -> str:
        """For a picture."""
        return f"a committee of {self.k} {self.link.name} unit{'s' if self.k > 1 else ''}"

    def __call__(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """f* at principal coordinates z, shape (..., rank) -> (...)."""
        return self.link(z @ self.basis.T) @ np.asarray(self.weights) / self.k

    def potential(self, student: Activation, *, expanded: bool = False) -> Potential:
        """V = E f* σ(λ) for a student; see `meanfield.targets.potential_of`."""
        return potential_of_units(self.units, student, expanded=expanded)

    def second_moment(self) -> float:
        """E f*², from the averages over pairs of target units."""
        return self._second_moment.value

    def second_moment_error(self) -> float:
        """Estimate of the error of `second_moment`, 0 where pairs are closed forms."""
        return self._second_moment.error

    @property
    def _second_moment(self) -> Estimate:
        # a link of the user's may follow what it captures
        own = self.link.code == CUSTOM
        return self._found_second_moment() if own else self._kept_second_moment

    @cached_property
    def _kept_second_moment(self) -> Estimate:
        return self._found_second_moment()

    def _found_second_moment(self) -> Estimate:
        P, a = np.array(self.gram), np.array(self.weights)
        q = np.diag(P).copy()
        found = pair_averages(self.link, self.link, q, q, P, same=True)
        squares = np.diag(found.value)  # the error is relative to the norms
        size = float(np.abs(a) @ np.sqrt(np.maximum(np.outer(squares, squares), 0.0)) @ np.abs(a))
        return Estimate(float(a @ found.value @ a) / self.k**2, found.error * size / self.k**2)

    def parameters(self) -> dict[str, Any]:
        """What is needed to build the target again."""
        return {
            "kind": "committee",
            "k": self.k,
            "activation": self.link.parameters(),
            "gram": np.asarray(self.gram).tolist(),
            "weights": np.asarray(self.weights).tolist(),
            "noise": plain_rate(self.noise),
        }


def triangular_factor(P: NDArray[np.float64]) -> NDArray[np.float64]:
    """B (k, rank), lower triangular with a positive diagonal and P = B Bᵀ (Cholesky's, if full)."""
    scale = float(np.abs(P).max())
    if scale == 0.0:
        raise ValueError("gram must not be zero: the target would have no directions")
    if not np.allclose(P, P.T, rtol=0.0, atol=1e-12 * scale):
        worst = float(np.abs(P - P.T).max())
        raise ValueError(f"gram must be symmetric, got entries that differ by {worst:g}")
    eigenvalues, vectors = eigh(0.5 * (P + P.T))
    if eigenvalues[0] < -1e-10 * scale:
        raise ValueError(
            f"gram must be positive semi-definite, got smallest eigenvalue {eigenvalues[0]:g}"
        )
    kept = eigenvalues > RANK_TOLERANCE * eigenvalues[-1]
    root = vectors[:, kept] * np.sqrt(eigenvalues[kept])
    (upper,) = qr(root.T, mode="r")
    upper = np.asarray(upper)[: root.shape[1]]
    leading = upper[np.arange(len(upper)), np.argmax(np.abs(upper) > 1e-9 * np.abs(upper).max(), 1)]
    signs = np.where(leading < 0, -1.0, 1.0)
    basis = np.ascontiguousarray((signs[:, None] * upper).T) + 0.0  # no negative zeros
    basis.setflags(write=False)
    return basis
