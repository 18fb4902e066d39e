"""The explicit method: Dormand and Prince's pair, in six vectors."""

from __future__ import annotations

import numpy as np

from meanfield.integrate.equation import Attempt, Equation
from meanfield.integrate.tableau import DORMAND_PRINCE

A, B, C = DORMAND_PRINCE.stages, DORMAND_PRINCE.stages[-1], DORMAND_PRINCE.nodes
E, D = DORMAND_PRINCE.error, DORMAND_PRINCE.dense


class Explicit:
    """Steps of order 5 with an error estimate of order 4 and an interpolant of order 4.

    A slope is kept no longer than something asks for it: the second makes room for the sixth, the
    third to fifth, once the step's end is known, for what they owe to it, to the error and to the
    interpolant, and the sixth for the seventh. Where slopes may take the place of states, a stage
    is laid out where its slope goes, and the seventh of the rows is never written.
    """

    name = DORMAND_PRINCE.name
    exponent = 1.0 / (DORMAND_PRINCE.error_order + 1)
    cost = len(C) - 1  # evaluations a step

    def __init__(self, equation: Equation):
        self.equation = equation

    def attempt(self, t: float, h: float, rows: tuple[int, ...]) -> Attempt:
        """A step of size h from the state and slope in the first two rows."""
        f = self.equation
        y, k1, k2, k3, k4, k5, spare = rows
        held = [y, k1, k2, k3, k4, k5]
        for s in range(1, 6):
            out = k2 if s == 5 else held[s + 1]
            stage = out if f.in_place else spare
            f.mix(stage, np.append(1.0, h * A[s, :s]), held[: s + 1])
            sixth = f.sample(stage)
            f.slope(t + C[s] * h, stage, out)
        k6, y_new, error, bend = k2, k5, k3, k4
        ends = np.stack([B, E[:-1], D[:-1]])[:, [0, 2, 3, 4, 5]]
        ends[1:, 0] = 0.0  # the first slope stays, and adds its share where it is needed
        weights = np.hstack(([[1.0], [0.0], [0.0]], h * ends))
        f.mix([y_new, error, bend], weights, [y, k1, k3, k4, k5, k6])
        before, k7 = f.sample(k6), k2
        f.slope(t + h, y_new, k7)
        size = f.error([h * E[0], 1.0, h * E[-1]], [k1, error, k7], y, y_new)
        # the last two stages stand at the same time: apart by what stiff directions make of them
        stiffness = h * f.ratio((f.sample(k7), before), (f.sample(y_new), sixth))
        return Attempt(t, h, size, (y_new, k7, error, bend, k1, y, spare), stiffness)

    def interpolate(self, step: Attempt, t: float, out: int) -> int:
        """The state inside a step, of fourth order, in row `out`: one that nothing else needs."""
        y_new, k7, _, bend, k1, y, _ = step.rows
        x = (t - step.t) / step.h
        if x >= 1.0:
            return y_new
        # Hermite cubic through both ends, plus x²(1-x)² times the method's own correction
        quartic, h = x * x * (1.0 - x) ** 2, step.h
        weights = [
            (1.0 - x) ** 2 * (1.0 + 2.0 * x),
            x * x * (3.0 - 2.0 * x),
            h * (x * (1.0 - x) ** 2 + quartic * D[0]),
            h * (quartic * D[-1] - x * x * (1.0 - x)),
            quartic,
        ]
        self.equation.mix(out, weights, [y, y_new, k1, k7, bend])
        return out

    def stiff_direction(self, step: Attempt) -> int:
        """The row of a step's error, whole: nearly the stiffest direction where it is stiff."""
        _, k7, error, _, k1, *_ = step.rows
        self.equation.mix(error, [step.h * E[0], 1.0, step.h * E[-1]], [k1, error, k7])
        return error
