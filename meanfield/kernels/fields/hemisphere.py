"""Neurons to a mesh on the half-sphere of directions (u, r)/R and back, for homogeneous students.

At k = 2 a direction has an angle φ in the principal plane, taken modulo π since potentials are even
in u, and a latitude. Rows of the mesh are circles of latitude, uniform in

    s = asinh(2|u| / (r + √(r² + δ²|u|²))),   that is   r/|u| = 1/sinh s − δ² sinh(s)/4.

Near the pole (u = 0) s is |u|/r; near the plane (r = 0) rows are as close as δ allows and grow
apart with r/|u|. Each row has points of its own, uniform in φ, more of them near the plane, where a
potential varies on the scale of r/|u|. Rows go on a little beyond the pole and the plane, so that
stencils have eight points everywhere. Row 0 of the neurons' is the pole itself.

At the end, what circles of latitude do to one another: their kernel, and products mode by mode.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from meanfield.kernels.fields.mesh import SHORT
from meanfield.kernels.fields.places import (
    BATCH,
    BELOW,
    POINTS,
    locate,
    pole_slope_weights,
    pole_value_weights,
    slope_weights,
    value_weights,
)
from meanfield.kernels.inverse_trigonometry import absolute_product, angles
from meanfield.kernels.memory import integers
from meanfield.kernels.options import serial, shared
from meanfield.kernels.simd import fill, load, multiply, multiply_add, store, total

TINY = 1e-300
TASKS = 32  # of a product mode by mode
NEAR_POLE = 2e-4  # |u|/R below which slopes are taken in proportion to it


class Rows(NamedTuple):
    """Rows of the mesh: row i is at s = (i − BELOW)/scale and has sizes[i] points.

    Point l of a row is at φ = π l/size; the row is stored from l = −BELOW to size + POINTS − BELOW,
    `starts` says where.
    """

    delta: float
    scale: float
    sizes: np.ndarray
    starts: np.ndarray


@serial
def directions(u, r, first, n, rows, least, y, R, C, S, turn, cell, offset, root, work, bits):
    """Where a batch is: R, C = |u|/R, S = |r|/R, the row and φ/π; how many are nowhere.

    Neurons with C below `least` are put there.
    """
    for j in range(n):
        x0, x1, z = u[first + j, 0], u[first + j, 1], abs(r[first + j])
        q = x0 * x0 + x1 * x1
        length = math.sqrt(q)
        R[j] = math.sqrt(q + z * z)
        inverse = 1.0 / (R[j] + TINY)
        C[j], S[j] = length * inverse, z * inverse
        c = C[j] if C[j] > least else least
        c = c if C[j] == C[j] else math.nan
        y[j] = 2.0 * c / (S[j] + math.sqrt(S[j] * S[j] + rows.delta * rows.delta * c * c) + TINY)
        work[j], root[j] = x1, x0
    angles(work, root, n, turn)
    for j in range(n):
        beyond = u[first + j, 0] * u[first + j, 1] < 0.0
        turn[j] = (math.pi - turn[j] if beyond else turn[j]) / math.pi
    return locate(y, n, rows.scale, float(BELOW), rows.sizes.size, cell, offset, root, work, bits)


@serial
def spread_block(charge, u, r, first, last, rows, mesh):
    """Add a R of neurons first..last to a mesh; how many are nowhere (they are put somewhere)."""
    y, R, C, S = np.empty(BATCH), np.empty(BATCH), np.empty(BATCH), np.empty(BATCH)
    turn, offset, root, work = np.empty(BATCH), np.empty(BATCH), np.empty(BATCH), np.empty(BATCH)
    cell, bits, row = integers(np.empty(BATCH)), integers(work), np.empty(POINTS)
    outside = 0
    for start in range(first, last, BATCH):
        n = min(BATCH, last - start)
        outside += directions(
            u, r, start, n, rows, 0.0, y, R, C, S, turn, cell, offset, root, work, bits
        )
        for j in range(n):
            pole = cell[j] == BELOW
            across = pole_value_weights(offset[j]) if pole else value_weights(offset[j])
            store(row, 0, multiply(across, fill(charge[start + j] * R[j])))
            size, at, along = 0, 0, across
            for p in range(POINTS):
                i = cell[j] - BELOW + p
                if rows.sizes[i] != size:
                    size = rows.sizes[i]
                    place = turn[j] * size
                    at = min(int(place), size - 1)
                    along = value_weights(place - at - 0.5)
                point = rows.starts[i] + at
                store(mesh, point, multiply_add(along, fill(row[p]), load(mesh, point)))
    return outside


@serial
def gather_block(a, u, r, first, last, rows, mesh, rate, out_a, out_u, out_r):
    """Add to velocities of neurons first..last what the potential R ψ of a mesh gives."""
    y, R, C, S = np.empty(BATCH), np.empty(BATCH), np.empty(BATCH), np.empty(BATCH)
    turn, offset, root, work = np.empty(BATCH), np.empty(BATCH), np.empty(BATCH), np.empty(BATCH)
    cell, bits, row, steep = (
        integers(np.empty(BATCH)), integers(work), np.empty(POINTS), np.empty(POINTS)
    )  # fmt: skip
    for start in range(first, last, BATCH):
        n = min(BATCH, last - start)
        directions(
            u, r, start, n, rows, NEAR_POLE, y, R, C, S, turn, cell, offset, root, work, bits
        )
        for j in range(n):
            pole = cell[j] == BELOW
            store(row, 0, pole_value_weights(offset[j]) if pole else value_weights(offset[j]))
            store(steep, 0, pole_slope_weights(offset[j]) if pole else slope_weights(offset[j]))
            value, slope_s, slope_turn = 0.0, 0.0, 0.0
            size = rows.sizes[cell[j] - BELOW]
            at, x = 0, 0.0
            flat, rising = fill(0.0), fill(0.0)
            for p in range(POINTS + 1):
                i = cell[j] - BELOW + p
                if p == POINTS or rows.sizes[i] != size or p == 0:
                    if p > 0:
                        along = value_weights(x)
                        value += total(multiply(flat, along))
                        slope_s += total(multiply(rising, along))
                        slope_turn += size * total(multiply(flat, slope_weights(x)))
                        flat, rising = fill(0.0), fill(0.0)
                    if p < POINTS:
                        size = rows.sizes[i]
                        place = turn[j] * size
                        at = min(int(place), size - 1)
                        x = place - at - 0.5
                if p < POINTS:
                    points = load(mesh, rows.starts[i] + at)
                    flat = multiply_add(points, fill(row[p]), flat)
                    rising = multiply_add(points, fill(steep[p]), rising)
            _add_slopes(
                a, u, r, start + j, rows, y[j], R[j], C[j], S[j],
                value, slope_s, slope_turn, rate, out_a, out_u, out_r,
            )  # fmt: skip


@serial
def _add_slopes(
    a, u, r, i, rows, y, R, C, S, value, slope_s, slope_turn, rate, out_a, out_u, out_r
):
    """Add to one neuron's velocity: slopes of R ψ, from those of ψ in rows and in φ/π.

    With θ the latitude, ∂(Rψ)/∂|u| = C ψ − S ∂ψ/∂θ, ∂(Rψ)/∂r = S ψ + C ∂ψ/∂θ, and
    ds/dθ = −2 / ((S + Q) Q √(1 + y²)), Q = √(S² + δ²C²).
    """
    if R == 0.0:
        return
    c = C if C > NEAR_POLE else NEAR_POLE
    Q = math.sqrt(S * S + rows.delta * rows.delta * c * c)
    bend = -2.0 * rows.scale * slope_s / ((S + Q) * Q * math.sqrt(1.0 + y * y))
    value += 0.5 * bend * (c * c - C * C) / c
    kept = C / c
    bend *= kept
    length = C * R
    x0, x1 = (u[i, 0] / length, u[i, 1] / length) if length > 0.0 else (1.0, 0.0)
    outward = C * value - S * bend
    around = slope_turn * kept / (math.pi * c)
    out_u[i, 0] += a[i] * (outward * x0 - around * x1)
    out_u[i, 1] += a[i] * (outward * x1 + around * x0)
    out_r[i] += a[i] * math.copysign(1.0, r[i]) * (S * value + C * bend)
    if rate > 0.0:
        out_a[i] += rate * R * value


@shared(lambda meshes, outside, charge, *_: (len(meshes), 50.0 * len(charge)))
def _spread(first_block, last_block, meshes, outside, charge, u, r, rows):
    """Meshes of one block of neurons each; how many neurons are nowhere."""
    n, blocks = charge.size, outside.size
    step = (n + blocks - 1) // blocks
    for block in range(first_block, last_block):
        first, last = min(n, block * step), min(n, (block + 1) * step)
        outside[block] = spread_block(charge, u, r, first, last, rows, meshes[block])


@shared(lambda blocks, a, *_: (blocks, 50.0 * len(a)))
def _gather(first_block, last_block, blocks, a, u, r, rows, mesh, rate, out_a, out_u, out_r):
    """`gather_block` for all neurons."""
    n = a.size
    step = (n + blocks - 1) // blocks
    for block in range(first_block, last_block):
        first, last = min(n, block * step), min(n, (block + 1) * step)
        gather_block(a, u, r, first, last, rows, mesh, rate, out_a, out_u, out_r)


def spread(charge, u, r, rows, points):
    """Moments (points,) of the measure Σ charge_i R_i/n on directions; None if one is nowhere."""
    n = len(charge)
    blocks = 1 if n <= SHORT else min(8, max(2, n // max(2 * SHORT, points)))
    meshes, outside = np.zeros((blocks, points)), np.zeros(blocks, np.int64)
    _spread(meshes, outside, charge, u, r, rows)
    if outside.any():
        return None
    mesh = meshes[0] if blocks == 1 else meshes.sum(axis=0)
    mesh /= n
    return mesh


def gather(a, u, r, rows, mesh, rate, out_a, out_u, out_r):
    """Add the velocities that the potential on a mesh gives; see `gather_block`."""
    blocks = min(64, -(-len(a) // (SHORT // 4)))
    _gather(blocks, a, u, r, rows, mesh, rate, out_a, out_u, out_r)


def absolute_kernel(C, S, C_j, S_j, cosine, Z, w):
    """E_Z K(C C_j cos φ + S S_j Z), shape (n, angles): from one circle to n others.

    K(s) = √(1 − s²) + s asin s, see `absolute_product`.
    """
    out = np.zeros((len(C_j), len(cosine)))
    _absolute_kernel(out, C, S, C_j, S_j, cosine, Z, w)
    return out


@shared(lambda out, C, S, C_j, S_j, cosine, Z, w: (len(out), 5.0 * out.size * Z.size))
def _absolute_kernel(first, last, out, C, S, C_j, S_j, cosine, Z, w):
    count = cosine.size
    for j in range(first, last):
        for x in range(Z.size):
            across, along = S * S_j[j] * Z[x], C * C_j[j]
            for l in range(count):
                s = along * cosine[l] + across
                s = s if s < 1.0 else 1.0
                out[j, l] += w[x] * absolute_product(s if s > -1.0 else -1.0)


def multiply_modes(K, at, first, X):
    """Σ_j K_m[j, i] X[m, c, j] over rows i, j ≥ first[m], for X (modes, 2, rows).

    The symmetric K_m is stored from K[at[m]] on. Low modes have most rows, so a task takes some of
    all.
    """
    out = np.zeros(X.shape)
    _multiply_modes(K, at, first, X, out)
    return out


@shared(lambda K, *_: (TASKS, 1.0 * K.size))
def _multiply_modes(first_task, last_task, K, at, first, X, out):
    modes, rows = X.shape[0], X.shape[2]
    for task in range(first_task, last_task):
        for m in range(task, modes, TASKS):
            n, here = rows - first[m], at[m]
            real, imaginary = out[m, 0, first[m] :], out[m, 1, first[m] :]
            for j in range(n):
                x, y = X[m, 0, first[m] + j], X[m, 1, first[m] + j]
                row = K[here + j * n : here + (j + 1) * n]
                for i in range(n):
                    real[i] += row[i] * x
                    imaginary[i] += row[i] * y
