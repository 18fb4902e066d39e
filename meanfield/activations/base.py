"""What an activation is: its value, slope and averages, and what kernels know it by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield.gaussian import closed_forms as forms
from meanfield.gaussian.coordinate_averages import expectations
from meanfield.kernels.activations.units import CUSTOM

Array = NDArray[np.float64]
Function = Callable[[Array], Array]


@dataclass(frozen=True)
class Activation:
    """One activation σ.

    Attributes
    ----------
    name : str
        The word users pass.
    code : int
        What the compiled kernels branch on.
    function, derivative : callable
        σ and σ', elementwise on arrays.
    smooth : bool
        False where σ has a kink, which decides how integrals over it are laid out.
    odd : bool
        σ(−x) = −σ(x).
    homogeneous : bool
        σ(cx) = cσ(x) for c > 0.
    parameter : float
        Slope of a leaky ReLU below 0, degree of a Hermite polynomial, else 0.
    kinks : tuple of float
        Where σ' jumps.
    breaks : tuple of float
        Where any derivative jumps, of a user's own function.
    edges : tuple of float
        Ends of panels, on each of which a user's own function is a polynomial to rounding.
    strip : float
        Distance from the real axis to which σ is analytic, which sets the steps of quadratures.
    source : dict
        What a user's own function is rebuilt from; empty for the library's own.
    powers : tuple of float
        Of a polynomial its coefficients, constant first; else empty.

    Examples
    --------
    >>> import math, meanfield as mf
    >>> tanh = mf.Problem(mf.CommitteeTarget(k=1), "tanh").student
    >>> round(float(tanh.average(0.5, 1.0, math.inf)), 6)  # E tanh(0.5 + G)
    0.295453
    """

    name: str
    code: int
    function: Function = field(repr=False, compare=False)
    derivative: Function = field(repr=False, compare=False)
    smooth: bool = True
    odd: bool = False
    homogeneous: bool = False
    parameter: float = 0.0
    kinks: tuple[float, ...] = ()
    strip: float = field(default=1.0, repr=False)
    closed: forms.ClosedForm | None = field(default=None, repr=False, compare=False)
    source: dict[str, Any] = field(default_factory=dict, repr=False, hash=False)
    powers: tuple[float, ...] = field(default=(), repr=False, compare=False)
    breaks: tuple[float, ...] = field(default=(), repr=False, compare=False)
    edges: tuple[float, ...] = field(default=(), repr=False, compare=False)

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """σ(x), elementwise."""
        return self.function(x)

    def average(self, v: ArrayLike, s: ArrayLike, D: float, *, refine: int = 1) -> Array:
        """g0 = E σ(v + sU), U the first coordinate of a uniform point of S^{D-1}.

        Parameters
        ----------
        v, s : array_like
            Broadcast against each other.
        D : float
            Number of perpendicular directions, ≥ 1; at math.inf U is standard Gaussian.
        refine : int
            Where g0 is a quadrature, multiplies its nodes: the difference between 1 and 2
            estimates its error. Closed forms do not change.
        """
        v, s = np.broadcast_arrays(np.asarray(v, dtype=np.float64), np.asarray(s, dtype=np.float64))
        value = None if self.closed is None else self.closed.average(v, s, D)
        if value is not None:
            return value
        return expectations(
            self.function, v, s, D,
            strip=self.strip, kinks=self.breaks or self.kinks, edges=self.edges, refine=refine,
        )[0]  # fmt: skip

    def average_slopes(
        self, v: ArrayLike, s: ArrayLike, D: float, *, refine: int = 1
    ) -> tuple[Array, Array]:
        """(g1, g2) = (E σ'(v + sU), E U σ'(v + sU)); see `average`."""
        v, s = np.broadcast_arrays(np.asarray(v, dtype=np.float64), np.asarray(s, dtype=np.float64))
        value = None if self.closed is None else self.closed.slopes(v, s, D)
        if value is not None:
            return value
        first, second = expectations(
            self.derivative, v, s, D, (0, 1),
            strip=self.strip, kinks=self.breaks or self.kinks, edges=self.edges, refine=refine,
        )  # fmt: skip
        return first, second

    def parameters(self) -> str | dict[str, Any]:
        """What `get_activation` builds it from again: its name, or the source of a user's own."""
        return dict(self.source) if self.code == CUSTOM else self.name
