"""Field at quadrature nodes and velocities from them, neuron by neuron, for any activation.

g0(v, s) and g2(v, s) are tabulated once. For a neuron at one radius, s = r ρ is fixed: the table
collapses to a line in v, made of one polynomial for each step, and every node then costs a
Horner scheme. A homogeneous activation has one line for all: g0(v, s) = s G(v/s).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from meanfield.kernels.fields.mesh import POINTS
from meanfield.kernels.fields.places import arcsinh, lagrange_weights
from meanfield.kernels.options import serial, shared

BLOCKS = 64  # of neurons, for velocities


class Table(NamedTuple):
    """g0 and g2 on a grid: rows in asinh(s) / spacing from −BELOW on, columns in v / step.

    basis (POINTS, POINTS) turns the values of a stencil into a polynomial's coefficients. line0
    and line2 are (POINTS, cells), the cells centred at v = 0: for a homogeneous activation they
    hold the polynomials of G and G − y G', else nothing.
    """

    homogeneous: bool
    value: np.ndarray
    across: np.ndarray
    step: float
    spacing: float
    basis: np.ndarray
    line0: np.ndarray
    line2: np.ndarray


@serial
def line_coefficients(grid, row, wr, basis, low, high, work, line):
    """Coefficients of the cells low..high-1 of a line in v at one s, into line (POINTS, cells)."""
    count = high - low
    width = count + POINTS - 1
    for g in range(width):
        work[g] = 0.0
    for p in range(POINTS):
        weight = wr[p]
        values = grid[row + p]
        for g in range(width):
            work[g] += weight * values[low + g]
    for m in range(POINTS):
        coefficient = line[m]
        for g in range(count):
            coefficient[low + g] = 0.0
        for p in range(POINTS):
            weight = basis[m, p]
            for g in range(count):
                coefficient[low + g] += weight * work[g + p]


@serial
def place(v, scale, origin, cells):
    """Cell of v and the position in it; at the ends the cell is kept and the position runs on."""
    x = v * scale + origin
    cell = int(min(max(x, 0.0), cells - 1.0))
    return cell, x - cell


@serial
def horner(line, j, x):
    """Value at x of the polynomial of cell j."""
    y = line[7, j]
    y = y * x + line[6, j]
    y = y * x + line[5, j]
    y = y * x + line[4, j]
    y = y * x + line[3, j]
    y = y * x + line[2, j]
    y = y * x + line[1, j]
    return y * x + line[0, j]


@serial
def horner_slope(line, j, x):
    """Derivative at x of the polynomial of cell j."""
    y = 7.0 * line[7, j]
    y = y * x + 6.0 * line[6, j]
    y = y * x + 5.0 * line[5, j]
    y = y * x + 4.0 * line[4, j]
    y = y * x + 3.0 * line[3, j]
    y = y * x + 2.0 * line[2, j]
    return y * x + line[1, j]


@serial
def coordinates(u, i, z, v):
    """v_q = u_i · z_q for all nodes, z (k, N); the largest |v|."""
    k, N = z.shape
    for q in range(N):
        v[q] = u[i, 0] * z[0, q]
    for c in range(1, k):
        for q in range(N):
            v[q] += u[i, c] * z[c, q]
    furthest = 0.0
    for q in range(N):
        furthest = max(furthest, abs(v[q]))
    return furthest


@serial
def span(furthest, step, cells):
    """First and one-past-last cell that a line of half-width `furthest` touches."""
    half = cells // 2
    reach = int(min(furthest / step + 1.0, half))
    return half - reach, half + reach


def field_at_nodes(charge, u, r, z, rho, table, blocks):
    """f at nodes (z_q, ρ_b) in parts (blocks, B, N), to be summed in order.

    charge (n,) is a times n times mass; u (n, k), r (n,), z (k, N), rho (B,).
    """
    parts = np.zeros((blocks, rho.size, z.shape[1]))
    _field_at_nodes(charge, u, r, z, rho, table, parts)
    return parts


@shared(lambda charge, u, r, z, rho, table, parts: (len(parts), 10.0 * len(u) * parts[0].size))
def _field_at_nodes(first_block, last_block, charge, u, r, z, rho, table, parts):
    n, N, B, blocks = u.shape[0], z.shape[1], rho.size, parts.shape[0]
    size = (n + blocks - 1) // blocks
    cells = table.line0.shape[1]
    for block in range(first_block, last_block):
        v, wr, work = np.empty(N), np.empty(POINTS), np.empty(cells + POINTS)
        own = np.empty((POINTS, 0 if table.homogeneous else cells))
        for i in range(block * size, min(n, (block + 1) * size)):
            furthest = coordinates(u, i, z, v)
            low, high = span(furthest, table.step, cells)
            for b in range(B):
                f = parts[block, b]
                s = abs(r[i]) * rho[b]
                if table.homogeneous:
                    s = max(s, 1e-30 + 1e-30 * furthest)
                    scale, size_s, line = 1.0 / (s * table.step), s, table.line0
                else:
                    t = arcsinh(s) / table.spacing
                    lagrange_weights(t - int(t), wr)
                    line_coefficients(table.value, int(t), wr, table.basis, low, high, work, own)
                    scale, size_s, line = 1.0 / table.step, 1.0, own
                weight, origin = charge[i] * size_s / n, 0.5 * cells
                for q in range(N):
                    j, x = place(v[q], scale, origin, cells)
                    f[q] += weight * horner(line, j, x)


@shared(lambda a, u, r, z, rho, *_: (BLOCKS, 20.0 * len(u) * z.shape[1] * rho.size))
def velocities(first_block, last_block, a, u, r, z, rho, charge, table, rate, out_a, out_u, out_r):
    """Velocities from charges (B, N), node weights times ε; out_a is filled only if rate > 0."""
    n, k = u.shape
    N, B = z.shape[1], rho.size
    size = (n + BLOCKS - 1) // BLOCKS
    cells = table.line0.shape[1]
    for block in range(first_block, last_block):
        v, wr, work, along = np.empty(N), np.empty(POINTS), np.empty(cells + POINTS), np.empty(N)
        own0 = np.empty((POINTS, 0 if table.homogeneous else cells))
        own2 = np.empty((POINTS, 0 if table.homogeneous else cells))
        for i in range(block * size, min(n, (block + 1) * size)):
            furthest = coordinates(u, i, z, v)
            low, high = span(furthest, table.step, cells)
            value, perpendicular = 0.0, 0.0
            for q in range(N):
                along[q] = 0.0
            for b in range(B):
                mine, s = charge[b], abs(r[i]) * rho[b]
                if table.homogeneous:
                    s = max(s, 1e-30 + 1e-30 * furthest)
                    scale, size_s = 1.0 / (s * table.step), s
                    line0, line2 = table.line0, table.line2
                else:
                    t = arcsinh(s) / table.spacing
                    lagrange_weights(t - int(t), wr)
                    line_coefficients(table.value, int(t), wr, table.basis, low, high, work, own0)
                    line_coefficients(table.across, int(t), wr, table.basis, low, high, work, own2)
                    scale, size_s, line0, line2 = 1.0 / table.step, 1.0, own0, own2
                g0, g2, steep, origin = 0.0, 0.0, 1.0 / table.step, 0.5 * cells
                for q in range(N):
                    j, x = place(v[q], scale, origin, cells)
                    along[q] += mine[q] * steep * horner_slope(line0, j, x)
                    g2 += mine[q] * horner(line2, j, x)
                    if rate > 0.0:
                        g0 += mine[q] * horner(line0, j, x)
                value += size_s * g0
                perpendicular += rho[b] * g2
            for c in range(k):
                slope = 0.0
                for q in range(N):
                    slope += along[q] * z[c, q]
                out_u[i, c] = a[i] * slope
            # Φ is even in r: a neuron pushed below 0 by rounding feels the mirrored slope
            out_r[i] = a[i] * (perpendicular if r[i] >= 0.0 else -perpendicular)
            if rate > 0.0:
                out_a[i] = rate * value
