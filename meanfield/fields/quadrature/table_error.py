"""What a table of averages errs by: averages taken one by one, of some neurons on few nodes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from meanfield.fields import inputs
from meanfield.fields.base import Array, charges, sample_neurons
from meanfield.fields.estimate import Velocities, relative_error
from meanfield.fields.inputs import InputRule
from meanfield.kernels.fields import quadrature
from meanfield.states import ParticleMeasure

if TYPE_CHECKING:
    from meanfield.fields.quadrature.field import DirectField

# averages that are taken one by one to check the table, and on how many nodes at most
CHECKED, CHECKED_NODES, CHECKED_RADII = 2**15, 2**10, 3
BLOCKS = 16  # of neurons, summed in order


def table_error(field: DirectField, measure: ParticleMeasure) -> float:
    """The same for averages g0, g1 and g2 taken one by one, of some neurons on few nodes."""
    a, u, r = measure.arrays()
    mine, rule = field.velocities(a, u, r), small_rule(field)
    others = max(len(sample_neurons(u, r, a, field.mass)), CHECKED // rule.nodes)
    part, charge = part_of(charges(a, field.mass), sample_neurons(u, r, a, field.mass), others)
    try:
        table = field.checking.covering(u, r, rule)
    except FloatingPointError:
        return math.inf
    values = field.target(np.ascontiguousarray(rule.z.T))
    neurons = a[part], u[part], r[part]
    sums = quadrature.field_at_nodes(
        charge, *neurons[1:], rule.z, rule.rho, table, min(BLOCKS, len(part))
    )
    found = Velocities.like(*neurons)
    weighted = rule.joint_weight * (values - sums.sum(axis=0))
    quadrature.velocities(*neurons, rule.z, rule.rho, weighted, table, field.rate, *found)
    exact = one_by_one(field, charge, *neurons, rule, values)
    miss = found.minus(exact)
    return relative_error(miss, mine, a, field.mass, field.energy(), field.rate)


def one_by_one(
    field: DirectField, charge: Array, a: Array, u: Array, r: Array, rule: InputRule, values: Array
) -> Velocities:
    """Velocities of neurons that are each other's field, without a table."""
    v, s = (u @ rule.z)[:, None, :], (r[:, None] * rule.rho)[:, :, None]
    student = field.problem.student
    refine = 1 if student.kinks else 2  # between kinks a few nodes are enough
    g0 = student.average(v, s, field.D, refine=refine)
    g1, g2 = student.average_slopes(v, s, field.D, refine=refine)
    weighted = rule.joint_weight * (values - np.einsum("i,ibq->bq", charge, g0) / len(a))
    return Velocities(
        field.rate * np.einsum("ibq,bq->i", g0, weighted),
        a[:, None] * np.einsum("ibq,bq,xq->ix", g1, weighted, rule.z),
        a * np.einsum("ibq,bq,b->i", g2, weighted, rule.rho),
    )


def small_rule(field: DirectField) -> InputRule:
    """The one in use with a few ρ; one of its kind where its nodes are many.

    A table errs to both sides of a kink, which only as many nodes as are used average out.
    """
    assert field.rule is not None
    kind, size, nodes = field.rule.kind, field.rule.size, field.rule.z.shape[1]
    radii = min(CHECKED_RADII, len(field.rule.rho))
    while nodes > CHECKED_NODES:
        size, nodes = (
            (size - 1, nodes // 2) if kind == "sobol" else (size // 2, nodes // 2**field.k)
        )
    return inputs.make_rule(kind, size, radii, field.k, field.D, field.breaks)


def part_of(charge: Array, chosen: Array, count: int) -> tuple[Array, Array]:
    """Some neurons, those chosen among them, with charges that make nearly the field of all."""
    n = len(charge)
    if n <= count:
        return np.arange(n), charge
    rest = np.setdiff1d(np.arange(n), chosen)
    even = rest[np.linspace(0, len(rest) - 1, max(1, count - len(chosen))).astype(np.int64)]
    share = np.concatenate((np.ones(len(chosen)), np.full(len(even), len(rest) / len(even))))
    part = np.concatenate((chosen, even))
    return part, charge[part] * share * (len(part) / n)
