"""Explicit methods: a tableau laid out in as few vectors as its zeros allow."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from meanfield.integrate.equation import LEAST_WORK, Attempt, Equation, Vector
from meanfield.integrate.tableau import Tableau


class Stage(NamedTuple):
    """One slope of a step: where it is taken, and the places of what it is made of and goes to."""

    node: float
    weights: Vector
    of: list[int]
    out: int


class Plan:
    """Which place each slope of a step takes: 0 is the state's, 1 that of the first slope.

    A slope is kept no longer than something asks for it. One that no later stage needs, nor the
    step's end, its error or its interpolant, makes room for the next; those that remain do so, once
    the end is known, for what they owe to it, to the error and to the interpolant, and the last of
    them for the slope there.
    """

    def __init__(self, tableau: Tableau):
        A, last = tableau.stages, len(tableau.nodes) - 1
        ends = np.stack([A[last], tableau.error[:-1], tableau.dense[:-1]])
        free, places, self.stages = list(range(2, last + 4)), {0: 1}, []
        for s in range(1, last):
            of = [m for m in places if A[s, m] != 0.0]
            sources, weights = [places[m] for m in of], A[s, of]
            for m in [m for m in places if m > 0 and not A[s + 1 : last, m].any()]:
                if not ends[:, m].any():
                    free.insert(0, places.pop(m))
            places[s] = free.pop(0)
            self.stages.append(Stage(float(tableau.nodes[s]), weights, [0, *sources], places[s]))
        kept = [m for m in places if m == 0 or ends[:, m].any()]
        self.ends, self.of = ends[:, kept], [0, *(places[m] for m in kept)]
        self.ends[1:, 0] = 0.0  # the first slope stays, and adds its share where it is needed
        self.slope = places[last - 1]
        rest = [places[m] for m in places if m not in (0, last - 1)] + free
        self.error, self.bend, self.end, *self.rest = rest
        used = [0, 1, self.error, self.bend, self.end, *(stage.out for stage in self.stages)]
        self.places = max(used) + 1
        self.rest = [place for place in self.rest if place < self.places]
        self.work = max(LEAST_WORK, self.places + 1)  # rows, with a spare one


class Explicit:
    """Steps of a tableau, with its error estimate and its interpolant.

    Where slopes may take the place of states, a stage is laid out where its slope goes, and the
    last of the rows is never written.
    """

    def __init__(self, equation: Equation, tableau: Tableau):
        self.equation, self.tableau, self.plan = equation, tableau, Plan(tableau)
        self.name, self.exponent = tableau.name, 1.0 / (tableau.error_order + 1)
        self.cost = len(tableau.nodes) - 1  # evaluations a step
        # two stages at one time are apart by what stiff directions make of them
        self.twins = tableau.nodes[-2] == tableau.nodes[-1]

    def attempt(self, t: float, h: float, rows: tuple[int, ...]) -> Attempt:
        """A step of size h from the state and slope in the first two rows."""
        f, plan = self.equation, self.plan
        y, k1, spare = rows[0], rows[1], rows[-1]
        for stage in plan.stages:
            out = rows[stage.out]
            at = out if f.in_place else spare
            f.mix(at, np.append(1.0, h * stage.weights), [rows[place] for place in stage.of])
            before = f.sample(at)
            f.slope(t + stage.node * h, at, out)
        y_new, error, bend = rows[plan.end], rows[plan.error], rows[plan.bend]
        slope = rows[plan.slope]
        weights = np.hstack(([[1.0], [0.0], [0.0]], h * plan.ends))
        f.mix([y_new, error, bend], weights, [rows[place] for place in plan.of])
        slope_before = f.sample(slope)
        f.slope(t + h, y_new, slope)
        E = self.tableau.error
        size = f.error([h * E[0], 1.0, h * E[-1]], [k1, error, slope], y, y_new)
        stiffness = 0.0
        if self.twins:
            slopes = f.sample(slope), slope_before
            stiffness = h * f.ratio(slopes, (f.sample(y_new), before))
        rest = (*(rows[place] for place in plan.rest), *rows[plan.places :])
        return Attempt(t, h, size, (y_new, slope, error, bend, k1, y, *rest), stiffness)

    def interpolate(self, step: Attempt, t: float, out: int) -> int:
        """The state inside a step, in row `out`: one that nothing else needs."""
        y_new, k_new, _, bend, k1, y, *_ = step.rows
        x = (t - step.t) / step.h
        if x >= 1.0:
            return y_new
        D, quartic, h = self.tableau.dense, x * x * (1.0 - x) ** 2, step.h
        weights = [
            (1.0 - x) ** 2 * (1.0 + 2.0 * x),
            x * x * (3.0 - 2.0 * x),
            h * (x * (1.0 - x) ** 2 + quartic * D[0]),
            h * (quartic * D[-1] - x * x * (1.0 - x)),
            quartic,
        ]
        self.equation.mix(out, weights, [y, y_new, k1, k_new, bend])
        return out

    def stiff_direction(self, step: Attempt) -> int:
        """The row of a step's error, whole: nearly the stiffest direction where it is stiff."""
        _, k_new, error, _, k1, *_ = step.rows
        E = self.tableau.error
        self.equation.mix(error, [step.h * E[0], 1.0, step.h * E[-1]], [k1, error, k_new])
        return error
