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
from meanfield.kernels.hemisphere import Rows
from meanfield.kernels.places import BELOW, POINTS
from meanfield.kernels.zonal import absolute_kernel, multiply_modes
from meanfield.quadrature import Rule

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
        self.matrices = self._matrices(rule)

    def _matrices(self, rule: Rule) -> list[Array]:
        """For each group, (modes, rows, rows) for the modes it adds and the rows from it on."""
        count, bounds = len(self.C), self._mode_bounds()
        matrices = [
            np.empty((last - first, count - start, count - start))
            for (first, last), (_, start, _) in zip(bounds, self.groups, strict=True)
        ]
        for level, (size, start, stop) in enumerate(self.groups):
            cosine = np.cos(math.pi * np.arange(size // 2 + 1) / size)
            for i in range(start, stop):
                values = absolute_kernel(
                    self.C[i], self.S[i], self.C[i:].copy(), self.S[i:].copy(), cosine, *rule
                )
                modes = np.fft.hfft(values, size)[:, : size // 2 + 1] / size
                for lower in range(level + 1):
                    (first, last), (_, origin, _) = bounds[lower], self.groups[lower]
                    part = modes[:, first:last].T
                    matrices[lower][:, i - origin, i - origin :] = part
                    matrices[lower][:, i - origin :, i - origin] = part
        return matrices

    def _mode_bounds(self) -> list[tuple[int, int]]:
        """Modes that each group adds; the last has that of alternating signs as well."""
        sizes = [size for size, _, _ in self.groups]
        lasts = [size // 2 for size in sizes]
        lasts[-1] += 1
        return list(zip([0, *lasts[:-1]], lasts, strict=True))

    def potential(self, mesh: Array) -> Array:
        """ψ on the mesh, with its margins, of moments on the mesh and its margins."""
        spectra = [self._transform(mesh, group) for group in self.groups]
        results = [np.zeros_like(spectrum) for spectrum in spectra]
        for level, (first, last) in enumerate(self._mode_bounds()):
            own = np.concatenate([spectrum[:, first:last] for spectrum in spectra[level:]]).T
            parts = np.ascontiguousarray(np.stack((own.real, own.imag), axis=1))
            product = multiply_modes(self.matrices[level], parts)
            at = 0
            for result in results[level:]:
                piece = product[:, :, at : at + len(result)]
                result[:, first:last] = (piece[:, 0] + 1j * piece[:, 1]).T
                at += len(result)
        out = np.empty_like(mesh)
        for result, group in zip(results, self.groups, strict=True):
            self._restore(result, group, out)
        return out

    def crowding(self, moments: Array) -> float:
        """Largest moment of a point near the plane, times the square of the spacing there."""
        group = self.groups[-1]
        return float(np.abs(self._part(moments, group)).max()) * (math.pi / group[0]) ** 2

    def _part(self, mesh: Array, group: tuple[int, int, int]) -> Array:
        size, start, stop = group
        first = int(self.rows.starts[start])
        return mesh[first : first + (stop - start) * (size + POINTS)].reshape(stop - start, -1)

    def _transform(self, mesh: Array, group: tuple[int, int, int]) -> Array:
        """Modes of a group's rows, their margins folded in."""
        part, size = self._part(mesh, group), group[0]
        rows = part[:, BELOW : BELOW + size].copy()
        rows[:, size - BELOW :] += part[:, :BELOW]
        beyond = POINTS - BELOW
        rows[:, :beyond] += part[:, BELOW + size :]
        return np.fft.rfft(rows)

    def _restore(self, modes: Array, group: tuple[int, int, int], out: Array) -> None:
        """Write values of a group's rows, and their margins."""
        part, size = self._part(out, group), group[0]
        rows = np.fft.irfft(modes, size) * size
        part[:, BELOW : BELOW + size] = rows
        part[:, :BELOW] = rows[:, size - BELOW :]
        part[:, BELOW + size :] = rows[:, : POINTS - BELOW]
