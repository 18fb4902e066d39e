"""What averages need to know of a function of one Gaussian coordinate."""

from __future__ import annotations

from typing import Any, Protocol


class UnitFunction(Protocol):
    """A function σ of a pre-activation, such as an `Activation`; hashable: its rules are kept."""

    @property
    def code(self) -> int:
        """Number by which kernels and closed forms know it."""

    @property
    def parameter(self) -> float:
        """Slope of a leaky ReLU below 0, degree of a Hermite polynomial, else 0."""

    @property
    def kinks(self) -> tuple[float, ...]:
        """Where σ' jumps."""

    @property
    def strip(self) -> float:
        """Distance from the real axis to which σ is analytic."""

    @property
    def smooth(self) -> bool:
        """False where σ has a kink."""

    @property
    def function(self) -> Any:
        """σ, elementwise on arrays."""

    @property
    def breaks(self) -> tuple[float, ...]:
        """Where panels of quadratures end."""

    @property
    def edges(self) -> tuple[float, ...]:
        """Ends of panels on which a steep function is a polynomial."""

    @property
    def powers(self) -> tuple[float, ...]:
        """Of a polynomial its coefficients, constant first; else empty."""

    @property
    def derivative(self) -> Any:
        """σ', elementwise on arrays."""

    def __hash__(self) -> int: ...
