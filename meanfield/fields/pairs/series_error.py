"""What the series of pairs are off by: more terms and finer rules at sample neurons."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from meanfield.fields.base import Array, charges, sample_neurons
from meanfield.fields.estimate import Velocities, relative_error, relative_risk_error
from meanfield.fields.units import Units
from meanfield.states import ParticleMeasure

if TYPE_CHECKING:
    from meanfield.fields.pairs.series import SeriesField

FINER = 1.5  # how much finer the rules are that check the rules


def series_error(field: SeriesField, measure: ParticleMeasure) -> float:
    """What twice the terms, finer rules and other nodes change at sample neurons.

    The risk errs by less than the mean of |a| times what its potentials do.
    """
    a, u, r = measure.arrays()
    found = Velocities.like(a, u, r)
    field.velocity(a, u, r, *found)
    charge, chosen = charges(a, field.mass), sample_neurons(u, r, a, field.mass)
    if not field._cover(u, r, 2 * field.terms, FINER):
        return math.inf
    try:
        once = parts(field, u, r, charge, chosen, field.terms, 1.0)
        again = parts(field, u, r, charge, chosen, 2 * field.terms, FINER)
        here = field.risk(a, u, r)
    except FloatingPointError:
        return math.inf
    slope_u, slope_r, own, target = (x - y for x, y in zip(once, again, strict=True))
    some = a[chosen]
    miss = Velocities(field.rate * (target - own), some[:, None] * slope_u, some * slope_r)
    off = float(np.abs(charge).mean() * (0.5 * np.abs(own) + np.abs(target)).max())
    risk = off + 0.5 * field.energy_error
    return max(
        relative_error(miss, found, a, field.mass, field.energy, field.rate),
        relative_risk_error(risk, here, field.energy),
    )


def parts(
    field: SeriesField, u: Array, r: Array, charge: Array, chosen: Array, terms: int, finer: float
) -> tuple[Array, Array, Array, Array]:
    """At some neurons: slopes of E ε σ(λ), E f σ(λ) and E f* σ(λ)."""
    sources = field._at(u, r, terms, finer)
    some = Units(*(part[chosen] for part in sources))
    own = field._values(some, charge / len(r), sources, field.D)
    slopes = field._slopes(some, charge, sources, terms, finer)
    return *slopes, own, field._target_values(some, terms, finer)
