"""The learning problem: a target, a student activation, a dimension and learning rates."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from meanfield import checks, display
from meanfield.activations import Activation, get_activation, named
from meanfield.schedules.base import Schedule
from meanfield.schedules.laws import AdagradNorm
from meanfield.schedules.make import check_rate, plain_rate
from meanfield.targets import Target, check_target, target_from_parameters

RATES = (
    "learning_rate", "second_layer_rate", "weight_decay", "second_layer_decay", "temperature",
)  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """A two-layer student f(x) = (1/p) Σ_i a_i σ(w_i·x/√d) learning a target by one-pass SGD.

    Parameters
    ----------
    target : CommitteeTarget, MultiIndexTarget or another `meanfield.targets.Target`
        What labels the data.
    activation : str, Activation or callable
        σ of the student: ``"erf"`` (erf(x/√2)), ``"relu"``, ``"leaky_relu"``, ``"square"``,
        ``"hermite1"`` to ``"hermite20"``, ``"tanh"``, ``"sigmoid"``, ``"softplus"``, ``"gelu"``,
        ``"sine"``; or one's own function, elementwise on arrays (`meanfield.activations.custom`).
    dim : int or math.inf
        Input dimension d, greater than the number of target directions k.
    learning_rate : float, Schedule or callable
        γ ≥ 0 of the first layer; 0 is gradient flow. The mean-field limit does not depend on it.
        This rate and the next four may change along a run: see `meanfield.schedules`; a function is
        one of an array of times.
    second_layer_rate : float, Schedule or callable
        κ = d γ_a/γ ≥ 0, the speed of the second layer; 0 keeps it fixed.
    weight_decay, second_layer_decay : float, Schedule or callable
        ≥ 0: dw/dt gains −weight_decay w and da/dt gains −κ second_layer_decay a.
    temperature : float, Schedule or callable
        τ ≥ 0: Langevin noise √(2τ dt) on every coordinate of w/√d, so that |w|²/d gains 2τd a
        unit of time.
    clip_norm : float
        c > 0: a step of SGD goes along min(1, c/|g|) times its gradient, in both layers; infinity
        clips nothing. |g|² = (1/p) Σ_i |p ∂L/∂w_i|² is the mean over the neurons of the squared
        gradient of the loss L = ½ε² (of a batch's mean loss) by the first layer's weights, each
        neuron's times p, as its step is. The norm of ∂L/∂W itself is |g|/√p.

    Notes
    -----
    Time is t = ν γ/(p d) after ν steps of SGD, Σ_ν γ_ν/(p d) where γ changes, for every
    description: a step of SGD takes weight_decay γ/(p d) of every weight and adds
    noise of variance 2τ γ/(p d) to every coordinate of w/√d.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; the message names it.

    Examples
    --------
    >>> import math, meanfield as mf
    >>> mf.Problem(mf.CommitteeTarget(k=1), dim=math.inf).perpendicular_dim
    inf
    """

    target: Target
    activation: str | Activation = "erf"
    dim: float = math.inf
    learning_rate: Any = 0.0
    second_layer_rate: Any = 0.0
    weight_decay: Any = 0.0
    second_layer_decay: Any = 0.0
    temperature: Any = 0.0
    clip_norm: float = math.inf

    def __post_init__(self) -> None:
        check_target(self.target)
        object.__setattr__(self, "activation", named(get_activation(self.activation)))
        object.__setattr__(self, "dim", check_dim(self.dim, self.target.k))
        for name in RATES:
            object.__setattr__(self, name, check_rate(getattr(self, name), name))
        object.__setattr__(self, "clip_norm", self._checked_clip_norm())

    def _checked_clip_norm(self) -> float:
        if isinstance(self.clip_norm, float) and self.clip_norm == math.inf:
            return math.inf
        clip_norm = checks.real(self.clip_norm, "clip_norm", above=0.0)
        if isinstance(self.learning_rate, AdagradNorm):
            raise ValueError(
                "clip_norm must be infinite beside an adagrad_norm learning_rate, whose sum is of "
                f"gradients as they are, got {clip_norm:g}"
            )
        return clip_norm

    def _repr_html_(self) -> str:
        rows = {
            "target": repr(self.target),
            "student": self.student.name,
            "dim d": self.dim,
            "target directions k": self.target.k,
        }
        rates = {name.replace("_", " "): getattr(self, name) for name in RATES}
        rows |= {name: value for name, value in rates.items() if value != 0.0}
        return display.table("Problem", rows | self._clipping("clip norm"))

    def _clipping(self, name: str) -> dict[str, Any]:
        """The norm at which gradients are clipped, if they are."""
        return {name: self.clip_norm} if self.clips else {}

    @property
    def student(self) -> Activation:
        """σ as an `Activation`."""
        return get_activation(self.activation)

    @property
    def clips(self) -> bool:
        """Whether gradients are clipped, at any norm."""
        return self.clip_norm < math.inf

    @property
    def subspace_dim(self) -> int:
        """Dimension of the principal subspace, rank P (k unless P is singular)."""
        return self.target.rank

    @property
    def perpendicular_dim(self) -> float:
        """D, the number of directions outside the principal subspace; may be math.inf."""
        return self.dim - self.target.rank

    @property
    def schedules(self) -> dict[str, Schedule]:
        """The rates that change along a run, by name; ``"noise"`` is the target's."""
        rates = {name: getattr(self, name) for name in RATES} | {"noise": self.target.noise}
        return {name: rate for name, rate in rates.items() if isinstance(rate, Schedule)}

    def at_rates(self, **rates: float) -> Problem:
        """The same problem with other rates, ``noise`` among them."""
        if "noise" in rates:
            rates["target"] = replace(self.target, noise=rates.pop("noise"))  # type: ignore
        return replace(self, **rates)  # type: ignore[arg-type]

    def at_dim(self, dim: float) -> Problem:
        """The same problem in another input dimension."""
        return replace(self, dim=dim)

    def parameters(self) -> dict[str, Any]:
        """What is needed to build the problem again; d = ∞ is written "inf"."""
        return {
            "target": self.target.parameters(),
            "activation": self.student.parameters(),
            "dim": "inf" if math.isinf(self.dim) else self.dim,
            **{name: plain_rate(getattr(self, name)) for name in RATES},
            **self._clipping("clip_norm"),
        }


def with_unit_second_rate(problem: Problem) -> Problem:
    """The problem with κ = 1 where κ changes; a run multiplies da/dt by the κ of the moment."""
    changes = isinstance(problem.second_layer_rate, Schedule)
    return problem.at_rates(second_layer_rate=1.0) if changes else problem


def later_on(problem: Problem, t: float, alpha: float) -> Problem:
    """The problem as a run sees it whose clock starts when t and α have passed."""
    shifts = {"t": t, "alpha": alpha}
    rates: dict[str, Any] = {}
    for name, schedule in problem.schedules.items():
        by = shifts[schedule.clock]
        if math.isnan(by):
            raise ValueError(f"problem must state {name} by the clock 't': the run had no steps")
        rates[name] = schedule.later(by)
    return problem.at_rates(**rates) if rates else problem


def refuse_schedules(problem: Problem, what: str) -> None:
    """Refuse a problem whose rates change, by name, where `what` needs numbers."""
    if problem.schedules:
        raise ValueError(
            f"problem must have constant rates for {what}; "
            f"{', '.join(problem.schedules)} follow schedules"
        )
    refuse_clipping(problem, what)


def refuse_clipping(problem: Problem, what: str) -> None:
    """Refuse a problem whose gradients are clipped, where `what` has no form of it."""
    if problem.clips:
        raise ValueError(
            f"problem must have an infinite clip_norm for {what}, got {problem.clip_norm:g}: "
            "clipped gradients are of simulate_sgd and solve_overlaps"
        )


def check_dim(dim: Any, k: int, argument: str = "dim") -> float:
    """Return the input dimension as an int, or math.inf; it must exceed k."""
    if isinstance(dim, float) and math.isinf(dim) and dim > 0:
        return math.inf
    if isinstance(dim, float) and dim.is_integer():
        dim = int(dim)
    try:
        value = checks.integer(dim, argument)
    except (TypeError, ValueError):
        raise ValueError(
            f"{argument} must be an integer above k, or math.inf, got {dim!r}"
        ) from None
    if value <= k:
        raise ValueError(
            f"{argument} must exceed k = {k}, the number of target directions, got {dim}"
        )
    return value


def problem_from_parameters(parameters: dict[str, Any]) -> Problem:
    """Build the problem that `Problem.parameters` described."""
    values = dict(parameters)
    values["target"] = target_from_parameters(values["target"])
    if values["dim"] == "inf":
        values["dim"] = math.inf
    return Problem(**values)
