"""The rates of a problem along a run: numbers at a time, on either clock, and where they jump."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.integrate import BadRate
from meanfield.problem import Problem, refuse_clipping
from meanfield.schedules.base import BadValue, Schedule, allowed
from meanfield.schedules.laws import AdagradNorm

if TYPE_CHECKING:
    from scipy.integrate import OdeSolution

Array = NDArray[np.float64]
LOOKS = 1025  # times at which the values of a schedule are checked before a run


class Rates(NamedTuple):
    """The rates at one moment; the names are those of `Problem`, ``noise`` the target's."""

    learning_rate: float
    second_layer_rate: float
    weight_decay: float
    second_layer_decay: float
    temperature: float
    noise: float


class RateSeries:
    """The rates of a problem as functions of t.

    Parameters
    ----------
    problem : Problem
    p : int or None
        The width, by which dα/dt = p/γ; None where a description has none.
    t_end : float
        Schedules are looked at up to here, and refused by name for what they say there.
    adaptive : bool
        Whether the description knows steps that depend on the gradients met: clipped ones, and a
        γ that falls with them, whose first value stands here.
    """

    def __init__(self, problem: Problem, p: int | None, t_end: float, *, adaptive: bool = False):
        if not adaptive:
            refuse_clipping(problem, "this description")
        # infinitely many neurons see neither γ nor the noise of labels
        blind = ("learning_rate", "noise") if p is None else ()
        self.schedules = {n: s for n, s in problem.schedules.items() if n not in blind}
        first = {name: getattr(problem, name) for name in Rates._fields[:-1]}
        first["noise"] = problem.target.noise
        if p is not None and isinstance(problem.learning_rate, AdagradNorm):
            self._refuse_beside(adaptive)
            first["learning_rate"] = problem.learning_rate.first
            del self.schedules["learning_rate"]
        numbers = {n: 0.0 if isinstance(v, Schedule) else v for n, v in first.items()}
        self.constant = Rates(**numbers)
        self.gamma, self.p, self.t_end = problem.learning_rate, p, t_end
        by_alpha = [name for name, each in self.schedules.items() if each.clock == "alpha"]
        self.alphas: Alphas | None = None
        if by_alpha:
            if p is None:
                raise ValueError(
                    f"problem must state {', '.join(by_alpha)} by the clock 't' here: a measure "
                    "has no width p, hence no α"
                )
            self.alphas = Alphas(self.gamma, p, t_end)
        self.breaks = self._breaks(t_end)
        for name, schedule in self.schedules.items():
            # an α costs a search, so that only the last one is asked for
            x = np.linspace(0.0, 1.0, LOOKS) * self.reading(schedule, np.array(t_end))
            allowed(schedule(x), f"problem's {name}", x)

    def _refuse_beside(self, adaptive: bool) -> None:
        """Refuse a γ that depends on the state where it is unknown, or α is read beside it."""
        if not adaptive:
            raise ValueError(
                "problem must have a learning_rate that does not depend on the state here: "
                "adagrad_norm is of simulate_sgd, solve_overlaps and the mean field"
            )
        by_alpha = [name for name, each in self.schedules.items() if each.clock == "alpha"]
        if by_alpha:
            raise ValueError(
                f"problem must state {', '.join(by_alpha)} by the clock 't' beside an adagrad_norm "
                "learning_rate: its α is known only along a run"
            )

    def __bool__(self) -> bool:
        """Whether any rate changes."""
        return bool(self.schedules)

    def reading(self, schedule: Schedule, t: Array) -> Array:
        """What the schedule's clock says at times t."""
        if schedule.clock == "t":
            return t
        assert self.alphas is not None
        return self.alphas(t)

    def __call__(self, t: float) -> Rates:
        """The rates at a time; a `BadRate` if one is none."""
        if not self.schedules:
            return self.constant
        found = {}
        for name, schedule in self.schedules.items():
            x = self.reading(schedule, np.asarray(t))
            try:
                found[name] = float(allowed(schedule(x), f"problem's {name}", x))
            except BadValue as error:
                raise BadRate(str(error)) from error
        return self.constant._replace(**found)

    def _breaks(self, t_end: float) -> tuple[float, ...]:
        times = set()
        for schedule in self.schedules.values():
            for x in schedule.breaks:
                t = x if schedule.clock == "t" else self._time_of(x, t_end)
                if 0.0 < t < t_end:
                    times.add(t)
        return tuple(sorted(times))

    def _time_of(self, alpha: float, t_end: float) -> float:
        """The time at which α reaches a value; infinity if that is after t_end."""
        assert self.alphas is not None
        return self.alphas.time_of(alpha, t_end)


class Alphas:
    """α as a function of t, from dα/dt = p/γ, whichever of the two clocks γ reads.

    Where γ reads α, dt/dα = γ/p is integrated, and the function t(α) inverted.
    """

    def __init__(self, gamma: float | Schedule, p: int, t_end: float):
        self.slope = 0.0
        self.pieces: list[OdeSolution] = []
        self.starts: list[float] = [0.0]
        self.by_alpha = isinstance(gamma, Schedule) and gamma.clock == "alpha"
        if not isinstance(gamma, Schedule):
            self.slope = p / gamma if gamma > 0.0 else math.inf
            if math.isinf(self.slope):
                raise ValueError(
                    "problem must have a learning_rate above 0 for rates by the clock 'alpha'"
                )
            return
        stops = [x for x in gamma.breaks if self.by_alpha or x < t_end]
        self._integrate(gamma, p, t_end, stops)

    def _integrate(self, gamma: Schedule, p: int, t_end: float, stops: list[float]) -> None:
        from scipy.integrate import solve_ivp  # heavy, and seldom needed

        def rate(x: float, y: Array) -> Array:
            value = float(gamma(min(x, edge)))
            if not (math.isfinite(value) and value > 0.0):
                raise ValueError(
                    f"problem's learning_rate must stay above 0 for the clock 'alpha', "
                    f"got {value:g}"
                )
            return np.array([value / p if self.by_alpha else p / value])

        def arrived(x: float, y: Array) -> float:
            return float(y[0]) - t_end

        arrived.terminal = True  # type: ignore[attr-defined]
        at, y = 0.0, 0.0
        ends = [*stops, 1e12 if self.by_alpha else t_end]
        for end in ends:
            edge = math.nextafter(end, 0.0)
            found = solve_ivp(
                rate, (at, end), [y], method="DOP853", rtol=1e-12, atol=1e-300,
                dense_output=True, events=arrived if self.by_alpha else None,
                first_step=min(end - at, 1e-3 * (1.0 if self.by_alpha else t_end)),
            )  # fmt: skip
            self.pieces.append(found.sol)
            at, y = float(found.t[-1]), float(found.y[0, -1])
            self.starts.append(y if self.by_alpha else at)
            if self.by_alpha and y >= t_end * (1.0 - 1e-12):
                return
        if self.by_alpha:
            raise ValueError(
                f"t_end must be within what the learning_rate reaches, Σγ/(p d) = {y:g} after "
                f"α = {at:g}, got {t_end:g}"
            )

    def __call__(self, t: Array) -> Array:
        """α at times t."""
        if not self.pieces:
            return self.slope * t
        return np.vectorize(self._one, otypes=[np.float64])(t)

    def _one(self, t: float) -> float:
        place = min(max(bisect_right(self.starts, t) - 1, 0), len(self.pieces) - 1)
        piece: OdeSolution = self.pieces[place]
        if not self.by_alpha:
            return float(piece(t)[0])
        return _inverse(piece, t)

    def time_of(self, alpha: float, t_end: float) -> float:
        """t at a value of α, infinity beyond t_end."""
        if not self.pieces:
            return alpha / self.slope
        if self.by_alpha:
            for piece in self.pieces:
                if alpha <= piece.t_max:
                    return float(piece(alpha)[0])
            return math.inf
        for piece in self.pieces:
            if alpha <= float(piece(piece.t_max)[0]):
                return _inverse(piece, alpha)
        return math.inf


def samples_per_dimension(problem: Problem, p: int | None, t: Array) -> Array:
    """α at times t of a run of the problem from 0 on; an AttributeError where it has none."""
    gamma = problem.learning_rate
    if p is None:
        raise AttributeError("alpha is of networks: a law of neurons has no width p, hence no α")
    if isinstance(gamma, AdagradNorm):
        raise AttributeError(
            "alpha of an adagrad_norm learning_rate is of runs that follow γ, as solve_overlaps "
            "does with its γ/p term"
        )
    if not isinstance(gamma, Schedule) and gamma == 0.0:
        raise AttributeError("alpha is of runs with a learning_rate above 0, got 0: no step of SGD")
    if t.size == 0:
        return t.copy()
    return Alphas(gamma, p, max(float(t[-1]), 1e-300))(t)


def _inverse(piece: OdeSolution, y: float) -> float:
    """x with piece(x) = y, for a piece that increases, by secants held within a bracket."""
    low, high = piece.t_min, piece.t_max
    if y <= float(piece(low)[0]):
        return float(low)
    if y >= float(piece(high)[0]):
        return float(high)
    values = [float(piece(x)[0]) for x in (low, high)]
    for _ in range(200):
        # a twentieth of the bracket is kept from either end, so that both ends move
        share = (y - values[0]) / (values[1] - values[0])
        middle = low + min(max(share, 0.05), 0.95) * (high - low)
        value = float(piece(middle)[0])
        if abs(value - y) <= 4e-16 * abs(y) or not low < middle < high:
            return float(middle)
        if value < y:
            low, values[0] = middle, value
        else:
            high, values[1] = middle, value
    return float(middle)
