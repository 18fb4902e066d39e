"""Tables of g0 and g2 for any activation: on a grid in (v, s), or on one line if homogeneous.

g0(v, s) = E σ(v + sU), g1 and g2 = E σ'(v + sU) and E U σ'(v + sU), see `Activation.average`: a
neuron (u, r) seen from a node (z, ρ) has v = u·z and s = rρ. What the tables are off by is found
from averages taken one by one, of some neurons on few nodes.
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.activations import Activation
from meanfield.fields.base import EDGE, Array
from meanfield.fields.estimate import Velocities
from meanfield.fields.quadrature.inputs import InputRule
from meanfield.kernels.fields.mesh import BELOW, POINTS
from meanfield.kernels.fields.quadrature import Table, field_at_nodes, velocities

STEP, SPACING = 0.04, 0.035  # in v (for a strip of π/2, that of tanh) and in asinh(s)
STRIP = 0.5 * math.pi
RAY_CELLS = 1024  # of the line of a homogeneous activation,
RAY_REACH = 9.0  # and its half-width, in standard deviations of U
MOST_POINTS = 2**24  # of a table: there is none for neurons that ask for more
ROWS_POINTS = 2**18  # of a table, filled at a time
HEADROOM = 1.3  # how many times as far as the neurons a table reaches, and 1 further
CHECKED = 2**15  # averages that are taken one by one to check a table
BLOCKS = 16  # of neurons, whose sums are added in order


class Tables:
    """The table of one activation, made anew where it does not reach the neurons.

    Attributes
    ----------
    made : (float, float, Table) or None
        How far it reaches in |v| and in s, and the table; None before there is one.
    """

    def __init__(self, activation: Activation, D: float):
        self.activation, self.D = activation, D
        self.made: tuple[float, float, Table] | None = None

    def covering(self, u: Array, r: Array, rule: InputRule) -> Table:
        """The table that there is, or a wider one if neurons come near its end.

        `u` and `r` are those of all neurons, which are seen from the nodes of `rule`.

        Raises
        ------
        FloatingPointError
            If neurons are not finite, or too far for a table to hold.
        """
        if self.activation.homogeneous and self.made is None:
            self.make_ray()
        reach_v, reach_s = _seen(u, r, rule)
        if self.made is None or reach_v > EDGE * self.made[0] or reach_s > EDGE * self.made[1]:
            return self.make(1.0 + HEADROOM * reach_v, 1.0 + HEADROOM * reach_s)
        return self.made[2]

    def current(self, u: Array, r: Array, rule: InputRule, share: float = 1.0) -> Table:
        """The table that there is, if all neurons lie within a `share` of its reach.

        Raises
        ------
        FloatingPointError
            If they do not.
        """
        reach_v, reach_s = _seen(u, r, rule)
        if self.made is None or reach_v > share * self.made[0] or reach_s > share * self.made[1]:
            raise FloatingPointError("neurons have left the table")
        return self.made[2]

    def make_ray(self) -> None:
        """Make the one table of a homogeneous activation, for any reach; no other has one."""
        if self.activation.homogeneous:
            self.made = math.inf, math.inf, ray_table(self.activation, self.D)

    def make(self, reach_v: float, reach_s: float) -> Table:
        """Make a table for |v| ≤ reach_v and s ≤ reach_s in place of the one there was."""
        self.made = None  # two would take twice the memory
        table = smooth_table(self.activation, self.D, reach_v, reach_s)
        self.made = reach_v, reach_s, table
        return table


def _seen(u: Array, r: Array, rule: InputRule) -> tuple[float, float]:
    """A bound on the |v| of neurons seen from nodes, max |u| max |z|, and the largest s."""
    furthest, longest = float(np.einsum("ij,ij->i", u, u).max()), float(np.abs(r).max())
    if not (math.isfinite(furthest) and math.isfinite(longest)):
        raise FloatingPointError("neurons are no longer finite")
    reach_v = math.sqrt(furthest * float((rule.z**2).sum(axis=0).max()))
    return reach_v, longest * float(rule.rho.max())


def table_error(
    tables: Tables, a: Array, u: Array, r: Array, charge: Array, chosen: Array,
    rule: InputRule, target: Array, rate: float,
) -> Velocities:  # fmt: skip
    """What a table makes velocities wrong by, of some neurons (those `chosen` among them).

    These neurons alone, on the nodes of `rule`, are the field in which they move: with the table,
    less without. `charge` are `meanfield.fields.base.charges` of all neurons, `target` holds f* at
    the nodes (N,), and `rate` is κ.

    Raises
    ------
    FloatingPointError
        See `Tables.covering`.
    """
    part, charge = _part_of(charge, chosen, max(len(chosen), CHECKED // rule.nodes))
    table, neurons = tables.covering(u, r, rule), (a[part], u[part], r[part])
    blocks = min(BLOCKS, len(part))
    sums = field_at_nodes(charge, *neurons[1:], rule.z, rule.rho, table, blocks)
    found = Velocities.like(*neurons)
    weighted = rule.joint_weight * (target - sums.sum(axis=0))
    velocities(*neurons, rule.z, rule.rho, weighted, table, rate, *found)
    return found.minus(_one_by_one(tables, charge, *neurons, rule, target, rate))


def _one_by_one(
    tables: Tables, charge: Array, a: Array, u: Array, r: Array,
    rule: InputRule, target: Array, rate: float,
) -> Velocities:  # fmt: skip
    """Velocities of neurons in the field that they make themselves, without a table."""
    v, s = (u @ rule.z)[:, None, :], (r[:, None] * rule.rho)[:, :, None]
    student = tables.activation
    refine = 1 if student.kinks else 2  # panels that end at kinks need no more than their nodes
    g0 = student.average(v, s, tables.D, refine=refine)
    g1, g2 = student.average_slopes(v, s, tables.D, refine=refine)
    weighted = rule.joint_weight * (target - np.einsum("i,ibq->bq", charge, g0) / len(a))
    return Velocities(
        rate * np.einsum("ibq,bq->i", g0, weighted),
        a[:, None] * np.einsum("ibq,bq,xq->ix", g1, weighted, rule.z),
        a * np.einsum("ibq,bq,b->i", g2, weighted, rule.rho),
    )


def _part_of(charge: Array, chosen: Array, count: int) -> tuple[Array, Array]:
    """Some `count` neurons, those chosen among them, and charges that make nearly all's field.

    The others are evenly spaced in the order of neurons, and stand for all that were not chosen.
    """
    n = len(charge)
    if n <= count:
        return np.arange(n), charge
    rest = np.setdiff1d(np.arange(n), chosen)
    even = rest[np.linspace(0, len(rest) - 1, max(1, count - len(chosen))).astype(np.int64)]
    share = np.concatenate((np.ones(len(chosen)), np.full(len(even), len(rest) / len(even))))
    part = np.concatenate((chosen, even))
    return part, charge[part] * share * (len(part) / n)  # fields are means over the part


def smooth_table(activation: Activation, D: float, reach_v: float, reach_s: float) -> Table:
    """g0 and g2 for |v| ≤ reach_v, 0 ≤ s ≤ reach_s.

    Columns are equally spaced in v, since a user's function may vary anywhere on the axis; rows in
    asinh(s), continued evenly (g0) and oddly (g2) below 0.

    Raises
    ------
    FloatingPointError
        If the table would not fit in memory.
    """
    step, spacing = STEP * min(activation.strip / STRIP, 1.0), SPACING
    half = math.ceil(reach_v / step) + 1  # cells on either side of v = 0
    rows = math.ceil(math.asinh(reach_s) / spacing) + POINTS  # with s ≥ 0
    if not rows * (2 * half + POINTS) < MOST_POINTS:
        raise FloatingPointError("neurons have left every table")
    v = step * (np.arange(2 * half + POINTS - 1) - BELOW - half)
    s = np.sinh(spacing * np.arange(rows))
    value, across = np.empty((2, BELOW + rows, len(v)))
    size = max(1, ROWS_POINTS // len(v))
    for first in range(0, rows, size):  # averages take memory of their own, many times the table's
        part, to = s[first : first + size, None], slice(BELOW + first, BELOW + first + size)
        value[to] = activation.average(v, part, D)
        across[to] = activation.average_slopes(v, part, D)[1]
    mirrored = np.s_[2 * BELOW : BELOW : -1]
    value[:BELOW], across[:BELOW] = value[mirrored], -across[mirrored]
    return Table(
        homogeneous=False, value=value, across=across,
        step=step, spacing=spacing, basis=_lagrange_basis(np.arange(POINTS) - BELOW),
        line0=np.empty((0, 2 * half)), line2=np.empty((0, 2 * half)),  # how many cells, no more
    )  # fmt: skip


def ray_table(activation: Activation, D: float) -> Table:
    """G(y) = g0(y, 1) and G − y G' for a homogeneous activation, with straight ends.

    g0(v, s) = s G(v/s), and g2, its slope in s, is G − y G' at y = v/s.
    """
    end = RAY_REACH if math.isinf(D) else min(1.0, RAY_REACH / math.sqrt(D))
    inner = RAY_CELLS
    y = np.linspace(-end, end, inner + 1)
    G = activation.average(y, np.ones_like(y), D)
    _, across = activation.average_slopes(y, np.ones_like(y), D)  # G − y G' = E U σ'(y + U)
    lines = []
    for values in (G, across):
        line = np.empty((POINTS, inner + 2))
        # stencils stay inside: at finite D, where |U| ≤ 1, the functions are not smooth at ±1
        first = np.clip(np.arange(inner) - BELOW, 0, inner + 1 - POINTS)
        for offset in np.unique(np.arange(inner) - first):
            cells = np.flatnonzero(np.arange(inner) - first == offset)
            basis = _lagrange_basis(np.arange(POINTS) - offset)
            line[:, 1 + cells] = basis @ values[first[cells] + np.arange(POINTS)[:, None]]
        lines.append(line)
    # beyond the ends v alone decides: G(y) = σ(y), linear, and G − y G' = 0
    step = 2.0 * end / inner
    for cell, side in ((0, -1.0), (inner + 1, 1.0)):
        slope = float(activation.derivative(np.array([side]))[0])
        at = -end - step if side < 0 else end
        lines[0][:, cell], lines[1][:, cell] = 0.0, 0.0
        lines[0][:2, cell] = slope * at, slope * step
    none = np.empty((0, 0))
    return Table(True, none, none, step, 1.0, np.eye(POINTS), *lines)


def _lagrange_basis(offsets: Array) -> Array:
    """(POINTS, POINTS): coefficients in x of the polynomial through values at the offsets."""
    return np.linalg.inv(np.vander(offsets.astype(np.float64), increasing=True))
