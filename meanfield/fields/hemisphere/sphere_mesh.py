"""The mesh on the half-sphere of directions at k = 2, and what its points do to each other.

Between two points the kernel depends on their latitudes and on the difference of their angles φ:
for each Fourier mode in φ it is a matrix from rows to rows. Near the pole few modes matter, so rows
come in groups of one number of points, and a mode has a matrix over those groups that hold it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from meanfield.fields.base import Array
from meanfield.gaussian.rules import Rule
from meanfield.kernels.fields.hemisphere import Rows, absolute_kernel, multiply_modes
from meanfield.kernels.fields.places import BELOW, POINTS

FEWEST = 32  # points of a row
NARROWING = 5.0 / 7.0  # of the spacing in φ towards the plane: slopes there matter less, see docs


@dataclass(frozen=True)
class Fineness:
    """Spacing of rows, of points in φ on the scale of r/|u|, and the most points of a row."""

    across: float
    along: float
    most: int


def make_rows(fineness: Fineness) -> tuple[Rows, Array, Array]:
    """Rows of a mesh, with C = |u|/R and S = |r|/R of each."""
    delta = math.pi / (fineness.most * fineness.across)  # near the plane cells are squares
    count = BELOW + math.ceil(math.asinh(2.0 / delta) / fineness.across) + POINTS - BELOW
    y = np.sinh((np.arange(count) - BELOW) * fineness.across)
    C, S = 2.0 * np.abs(y), np.abs(2.0 - 0.5 * (delta * y) ** 2)
    R = np.hypot(C, S)
    scale = np.arcsinh(S / np.maximum(C, 1e-300))  # in φ, of the nearest complex singularity
    wanted = math.pi / (fineness.along * np.maximum(scale, delta) ** NARROWING)
    sizes = 2 ** np.ceil(np.log2(np.clip(wanted, FEWEST, fineness.most))).astype(np.int64)
    sizes = np.maximum.accumulate(sizes)
    sizes = np.minimum(sizes, fineness.most)
    starts = np.concatenate(([0], np.cumsum(sizes + POINTS)[:-1]))
    return Rows(delta, 1.0 / fineness.across, sizes, starts), C / R, S / R


class Hemisphere:
    """A mesh with the potential that moments on it have.

    Parameters
    ----------
    fineness : Fineness
    rule : Rule
        Over the overlap Z of two perpendicular directions.
    """

    def __init__(self, fineness: Fineness, rule: Rule):
        self.rows, self.C, self.S = make_rows(fineness)
        sizes = self.rows.sizes
        self.points = int((sizes + POINTS).sum())
        self.groups = [
            (
                int(size),
                int(np.searchsorted(sizes, size)),
                int(np.searchsorted(sizes, size, "right")),
            )
            for size in np.unique(sizes)
        ]
        self.kernel, self.at, self.first = self._kernel(rule)

    def _kernel(self, rule: Rule) -> tuple[Array, Array, Array]:
        """Matrices of all modes one after another, where each begins, and its first row.

        A mode lives on the rows of at least twice as many points; that of alternating signs on the
        largest.
        """
        count, sizes = len(self.C), self.rows.sizes
        modes = np.arange(sizes[-1] // 2 + 1)
        first = np.searchsorted(sizes, np.minimum(2 * modes + 1, sizes[-1]))
        at = np.concatenate(([0], np.cumsum((count - first) ** 2)))
        kernel = np.empty(at[-1])
        for size, start, stop in self.groups:
            cosine = np.cos(math.pi * np.arange(size // 2 + 1) / size)
            for i in range(start, stop):
                values = absolute_kernel(
                    self.C[i], self.S[i], self.C[i:].copy(), self.S[i:].copy(), cosine, *rule
                )
                held = np.searchsorted(first, i, "right")  # modes that row i has
                columns = (np.fft.hfft(values, size)[:, :held] / size).T
                width = count - first[:held]
                across = at[:held] + (i - first[:held]) * width + i - first[:held]
                down = np.arange(count - i)
                kernel[across[:, None] + down] = columns
                kernel[across[:, None] + down * width[:, None]] = columns
        return kernel, at[:-1], first

    def potential(self, mesh: Array) -> Array:
        """ψ on the mesh, with its margins, of moments on the mesh and its margins."""
        rows = np.zeros((len(self.at), 2, len(self.C)))
        for size, start, stop in self.groups:
            modes = np.fft.rfft(self._folded(mesh, (size, start, stop))).T
            held = np.searchsorted(self.first, start, "right")
            rows[:held, 0, start:stop] = modes.real[:held]
            rows[:held, 1, start:stop] = modes.imag[:held]
        rows = multiply_modes(self.kernel, self.at, self.first, rows)
        out = np.empty_like(mesh)
        for size, start, stop in self.groups:
            held = np.searchsorted(self.first, start, "right")
            modes = np.zeros((stop - start, size // 2 + 1), complex)
            modes.real[:, :held] = rows[:held, 0, start:stop].T
            modes.imag[:, :held] = rows[:held, 1, start:stop].T
            self._unfold(np.fft.irfft(modes, size) * size, (size, start, stop), out)
        return out

    def crowding(self, moments: Array) -> float:
        """Largest moment of a point near the plane, times the square of the spacing there."""
        group = self.groups[-1]
        return float(np.abs(self._part(moments, group)).max()) * (math.pi / group[0]) ** 2

    def _part(self, mesh: Array, group: tuple[int, int, int]) -> Array:
        size, start, stop = group
        first = int(self.rows.starts[start])
        return mesh[first : first + (stop - start) * (size + POINTS)].reshape(stop - start, -1)

    def _folded(self, mesh: Array, group: tuple[int, int, int]) -> Array:
        """Moments of a group's rows, their margins folded in."""
        part, size = self._part(mesh, group), group[0]
        rows = part[:, BELOW : BELOW + size].copy()
        rows[:, size - BELOW :] += part[:, :BELOW]
        rows[:, : POINTS - BELOW] += part[:, BELOW + size :]
        return rows

    def _unfold(self, rows: Array, group: tuple[int, int, int], out: Array) -> None:
        """Write a group's rows, and their margins."""
        part, size = self._part(out, group), group[0]
        part[:, BELOW : BELOW + size] = rows
        part[:, :BELOW] = rows[:, size - BELOW :]
        part[:, BELOW + size :] = rows[:, : POINTS - BELOW]
