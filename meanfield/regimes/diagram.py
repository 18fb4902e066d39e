"""The plane of p ~ d^κ and γ ~ d^−δ: which limit SGD has as d grows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from meanfield import checks, display
from meanfield.problem import Problem, refuse_schedules

# beyond this, one step of the noise term moves the overlaps by more than a vanishing amount
NO_ODE = -0.5


class Point(NamedTuple):
    """A run's place in the plane: p = d^κ, γ = d^−δ."""

    kappa: float
    delta: float


@dataclass(frozen=True)
class Phase:
    """A part of the plane, bounded by lines κ + δ = constant.

    Attributes
    ----------
    name : str
        As Veiga et al. (2022) call it.
    where : str
        The condition on κ and δ.
    lower, upper : float
        It is where lower < κ + δ < upper; where they are equal, the line itself.
    limit : str
        What SGD follows as d → ∞.
    reason : str
        Why, from the sizes of the terms.

    Examples
    --------
    >>> import meanfield as mf
    >>> phase = mf.regimes.phase_diagram().phase(kappa=0.5, delta=-0.5)
    >>> phase.name, phase.is_line
    ('plateau', True)
    """

    name: str
    where: str
    lower: float
    upper: float
    limit: str
    reason: str

    @property
    def is_line(self) -> bool:
        """Whether the phase is the line κ + δ = lower."""
        return self.lower == self.upper


PHASES = (
    Phase(
        "perfect learning", "κ + δ > 0", 0.0, math.inf,
        "gradient flow; for κ > 0 its mean-field limit",
        "the SGD term of the overlap ODE, γ/p ~ d^−(κ+δ), vanishes",
    ),
    Phase(
        "plateau", "κ + δ = 0", 0.0, 0.0,
        "the overlap ODE with its SGD term (Saad & Solla at κ = 0)",
        "the SGD term is as large as the drift: label noise leaves a residual risk",
    ),
    Phase(
        "bad learning", "−1/2 < κ + δ < 0", NO_ODE, 0.0,
        "the SGD term alone, on the faster clock ν γ²/(p² d)",
        "on that clock the drift is smaller than the SGD term by d^(κ+δ)",
    ),
    Phase(
        "no ODE", "κ + δ ≤ −1/2", -math.inf, NO_ODE,
        "none",
        "one step moves the overlaps by γ²/(p² d) ~ d^−(1+2(κ+δ)), which does not vanish",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class PhaseDiagram:
    """The phases, and where a point of the plane falls.

    Attributes
    ----------
    phases : tuple of Phase
        From perfect learning down to no ODE; the boundary κ + δ = −1/2 belongs to the last.

    Examples
    --------
    >>> import meanfield as mf
    >>> [phase.name for phase in mf.regimes.phase_diagram().phases]
    ['perfect learning', 'plateau', 'bad learning', 'no ODE']
    """

    phases: tuple[Phase, ...] = PHASES

    def phase(self, kappa: float, delta: float) -> Phase:
        """The phase of a point.

        Parameters
        ----------
        kappa : float
            κ ≥ 0 of p ~ d^κ.
        delta : float
            δ of γ ~ d^−δ.

        Returns
        -------
        Phase

        Raises
        ------
        TypeError, ValueError
            If κ is negative, or either is not a finite number.
        """
        s = _sum(kappa, delta)
        perfect, plateau, bad, none = self.phases
        if abs(s) <= 1e-12:  # 0.3 and −0.3 reached by arithmetic are on the line
            return plateau
        return perfect if s > 0.0 else bad if s > NO_ODE + 1e-12 else none

    def exponents(self, kappa: float, delta: float) -> dict[str, float]:
        """Powers of d of what matters at a point.

        Parameters
        ----------
        kappa, delta : float
            As for `phase`.

        Returns
        -------
        dict
            ``noise_term``: of γ/p. ``fluctuation``: of the spread of SGD about its limit,
            √(γ/(p d)) or, where κ + δ < 0, √(γ²/(p² d)). ``samples``: of the number of steps that
            a time of order one takes on the limit's own clock. ``width``: of 1/p.
        """
        s = _sum(kappa, delta)
        samples = 1.0 + (s if s >= 0.0 else 2.0 * s)
        return {
            "noise_term": -s,
            "fluctuation": -0.5 * samples,
            "samples": samples,
            "width": -float(kappa),
        }

    def locate(self, problem: Problem, width: int) -> Point:
        """Place one run in the plane, κ = log p/log d and δ = −log γ/log d.

        A single run fixes no power law: this is the point whose prefactors are 1.

        Parameters
        ----------
        problem : Problem
            With finite d and γ > 0.
        width : int
            p.

        Returns
        -------
        Point

        Raises
        ------
        TypeError, ValueError
            If an argument is not as above.
        """
        checks.instance(problem, "problem", Problem)
        refuse_schedules(problem, "its place among phases")
        p = checks.integer(width, "width")
        if math.isinf(problem.dim):
            raise ValueError("problem must have a finite dim to have a place in the plane, got inf")
        if problem.learning_rate <= 0.0:
            raise ValueError("problem must have a learning_rate above 0, got 0")
        scale = math.log(problem.dim)
        return Point(math.log(p) / scale, -math.log(problem.learning_rate) / scale)

    def __str__(self) -> str:
        lines = ["p ~ d^κ, γ ~ d^−δ, as d → ∞:"]
        lines += [f"  {one.name:<18}{one.where:<20}{one.limit}" for one in self.phases]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return display.printed(self)


def phase_diagram() -> PhaseDiagram:
    """The phase diagram of one-pass SGD for p ~ d^κ, γ ~ d^−δ (Veiga et al. 2022).

    Returns
    -------
    PhaseDiagram

    Notes
    -----
    Names and the line κ + δ = 0 are those of the paper. Both boundaries follow from one step of
    SGD, with η = γ/p: it moves an overlap by η/d times the drift, and by η²/d times the SGD term.
    Their ratio is η ~ d^−(κ+δ): the first wins above the line, the second below. Steps add up to
    an ODE only while the larger of the two moves vanishes; below the line this is η² ≪ d, or
    κ + δ > −1/2. Either way, the number of steps to a time of order one is the inverse of that
    move, and fluctuations are its square root. The diagram is about d → ∞ at fixed exponents; for
    one run at given d, p and γ see `diagnose`.

    Examples
    --------
    >>> phase_diagram().phase(kappa=0.0, delta=0.0).name
    'plateau'
    >>> phase_diagram().phase(kappa=0.5, delta=0.0).limit
    'gradient flow; for κ > 0 its mean-field limit'
    """
    return PhaseDiagram()


def _sum(kappa: float, delta: float) -> float:
    return checks.real(kappa, "kappa", minimum=0.0) + checks.real(delta, "delta")
