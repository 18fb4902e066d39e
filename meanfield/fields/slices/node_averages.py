"""E σ(t v + ρ r U) for every t, v, ρ, r: what a mesh gives on the nodes.

These are millions of averages, of a function of two numbers: g0(x, s) with x = t v and s = ρ r.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import erfc

from meanfield.activations import Activation
from meanfield.fields.base import Array
from meanfield.fields.slices.axes import Axis, Resolution
from meanfield.gaussian.coordinate_averages import sphere_characteristic
from meanfield.gaussian.rules import GAUSSIAN_REACH
from meanfield.kernels.fields.slices import ends
from meanfield.kernels.fields.slices.products import multiply

TABLES = [Resolution(0.05, 1e-15, margin) for margin in (1.5, 2.5, 4.0)]  # in x and s
ENDS = [Resolution(0.027, 1e-15, margin) for margin in (1.0, 2.0)]  # in x + s and x − s
FEW = 5000  # averages that are taken one by one
PROBES = 300  # averages a table is held to
END_PROBES = 10  # s among them that all x of theirs meet
LINE_PROBES = 40  # and each of its axes, before all of it is made
TABLE_ERROR = 1e-11  # of the largest
SHARED_ERROR = 1e-12  # of a table that two layouts share: their difference does not show it
DECAY = 32.0  # e^-32: where spectra end
FAINT = 1e-16  # of the largest amplitude, a frequency that is left out
PART = 8192  # rows weighted at a time
REACH_STEP = 0.4  # in asinh, to which reaches of tables in x and s are rounded up
QR_ROWS = 16  # rows of a block that is brought to triangular form, over its columns

Table = tuple[Axis, Axis, Array]
_last: tuple[Activation, Any, Table | None] | None = None


@dataclass(frozen=True)
class NodeAverages:
    """g0 from mesh points on nodes that are a product (t, ρ), as left · right or all of it.

    Attributes
    ----------
    shape : tuple of int
        Numbers of t, v, ρ, r.
    left : ndarray, shape (t v, K), or None
        None stands for the identity.
    right : ndarray, shape (K, ρ r)
    """

    shape: tuple[int, int, int, int]
    left: Array | None
    right: Array

    def full(self) -> Array:
        """All values, shape (t ρ, v, r)."""
        whole = self.right if self.left is None else multiply(self.left, self.right)
        return self._by_node(whole, self.shape[3])

    def onto(self, basis: Array) -> Array:
        """Their sums with functions of r, basis (r, J): shape (t ρ, v, J)."""
        part = multiply(self.right.reshape(-1, self.shape[3]), basis).reshape(len(self.right), -1)
        whole = part if self.left is None else multiply(self.left, part)
        return self._by_node(whole, basis.shape[1])

    def triangle(self, weight: Array) -> Array:
        """R of a QR decomposition of the values as rows of functions of r, weighted by node."""
        t, v, radii, lengths = self.shape
        by_node = weight.reshape(t, radii)
        along = np.repeat(np.sqrt(by_node.sum(axis=1)), v)
        across = np.sqrt(by_node[0] / by_node[0].sum())
        right = self.right
        if self.left is not None:
            reduced = triangle(self.left, along)
            right, along = multiply(reduced, right), np.ones(len(reduced))
        return triangle(right.reshape(-1, lengths), np.outer(along, across).ravel())

    def _by_node(self, values: Array, width: int) -> Array:
        t, v, radii, _ = self.shape
        shaped = values.reshape(t, v, radii, width).transpose(0, 2, 1, 3)
        return np.ascontiguousarray(shaped).reshape(t * radii, v, width)


def triangle(rows: Array, weight: Array) -> Array:
    """R of a QR decomposition of weighted rows, by blocks in cache: tall ones take long in one.

    Demmel, Grigori, Hoemmen & Langou 2012.
    """
    width = rows.shape[1]
    size = QR_ROWS * width
    if len(rows) < 2 * size:
        return np.asarray(np.linalg.qr(rows * weight[:, None], mode="r"))
    step, parts = size * max(1, PART // size), []
    for first in range(0, len(rows), step):
        some = rows[first : first + step] * weight[first : first + step, None]
        whole = len(some) // size * size
        if whole:
            blocks = some[:whole].reshape(-1, size, width)
            parts.append(np.asarray(np.linalg.qr(blocks, mode="r")).reshape(-1, width))
        parts.append(some[whole:])
    reduced = np.concatenate(parts)
    return triangle(reduced, np.ones(len(reduced)))


def averages_on_product(
    student: Activation, t: Array, v: Array, rho: Array, r: Array, D: float
) -> NodeAverages:
    """E σ(t v + ρ r U) for all t, v, ρ, r.

    From a table of g0 where one is accurate, which a few averages taken directly decide. Where D is
    finite and s = ρ r long, g0 is rough around |x| = s, and tables in x and s are not; it is smooth
    in the ends x ± s of what U reaches.
    """
    x, s = np.outer(t, v).ravel(), np.outer(rho, r).ravel()
    shape = len(t), len(v), len(rho), len(r)
    if len(x) * len(s) >= FEW:
        ends = [] if math.isinf(D) else [(_from_ends, resolution) for resolution in ENDS]
        tables = [(_tabulated, resolution) for resolution in TABLES]
        for make, resolution in (*tables[:1], *ends, *tables[1:]):
            factors = make(student, x, s, D, resolution)
            if factors is not None:
                return NodeAverages(shape, *factors)
        values = by_frequencies(student, x, s, D) if 1 < D < math.inf else None
        if values is not None:
            return NodeAverages(shape, None, values)
    return NodeAverages(shape, None, student.average(x[:, None], s, D))


def _tabulated(
    student: Activation, x: Array, s: Array, D: float, resolution: Resolution
) -> tuple[Array, Array] | None:
    """Factors of g0 at all pairs of x and s, from polynomials in asinh of both.

    None if they are inaccurate.
    """
    reach = _rounded_up(float(np.abs(x).max())), _rounded_up(float(s.max()))
    made = _table(student, reach, D, resolution)
    if made is None:
        return None
    along, across, table = made
    i, j = _probes(x, s)
    rows_i, rows_j = (
        axis.interpolation(np.arcsinh(values)) for axis, values in ((along, x[i]), (across, s[j]))
    )
    found = ((rows_i @ table) * rows_j).sum(axis=1)
    largest = float(np.abs(table).max())
    if not _agrees(student, x[i], s[j], D, found, largest, within=SHARED_ERROR):
        return None
    columns = np.ascontiguousarray(across.interpolation(np.arcsinh(s)).T)
    return along.interpolation(np.arcsinh(x)), multiply(table, columns)


def _table(
    student: Activation, reach: tuple[float, float], D: float, resolution: Resolution
) -> Table | None:
    """g0 at the points of two axes, for |x| and s up to a reach: the one made last, if it is that.

    A layout and the finer one that it is held to mostly ask for the same; each holds it to averages
    of its own. None if it is inaccurate along one axis at the end of the other. Nothing else than
    the arguments enters, so that it does not matter who asked before.
    """
    global _last
    asked, latest = (reach, D, resolution), _last  # read once: another thread may replace it
    if latest is not None and latest[0] is student and latest[1] == asked:
        return latest[2]
    along = Axis(reach[0], resolution, -1 if student.odd else 0)
    across = Axis(reach[1], resolution, 1)
    made = None
    if _is_good(along, lambda x: student.average(x, reach[1], D)) and _is_good(
        across, lambda s: student.average(reach[0], s, D)
    ):
        table = np.ascontiguousarray(student.average(along.x[:, None], across.x, D))
        made = along, across, table
    _last = student, asked, made
    return made


def _is_good(axis: Axis, function: Callable[[Array], Array]) -> bool:
    """Whether a function of one coordinate is what an axis makes of it, between its points."""
    between = axis.end * np.linspace(-1.0 if axis.parity == 0 else 0.0, 1.0, LINE_PROBES)
    line = function(axis.x)
    off = np.abs(axis.interpolation(between) @ line - function(np.sinh(between)))
    return bool(off.max() <= TABLE_ERROR * np.abs(line).max())


def _rounded_up(reach: float) -> float:
    """A reach that a finer layout's, which is not quite the same, is likely to share."""
    return math.sinh(REACH_STEP * math.ceil(math.asinh(reach) / REACH_STEP))


def _from_ends(
    student: Activation, x: Array, s: Array, D: float, resolution: Resolution
) -> tuple[None, Array] | None:
    """g0 at all pairs of x and s, by interpolation in asinh of x + s and of x − s.

    Between these ends U moves the argument of σ, so that g0 is analytic in each as far from the
    axis as σ is. None if it is inaccurate.
    """
    axis = Axis(float(np.abs(x).max() + s.max()), resolution, 0)
    table = _end_table(student, axis.x, D)
    mesh = multiply(multiply(axis.up, table), np.ascontiguousarray(axis.up.T)).ravel()
    rng = np.random.default_rng(0)
    many, some = PROBES // END_PROBES, END_PROBES
    i, j = rng.choice(len(x), size=many), rng.choice(len(s), size=some)
    at = mesh, axis.count, 1.0 / axis.spacing, float(axis.origin)
    found = np.empty((many, some))
    ends.interpolate(x[i], s[j], *at, found)
    if not _agrees(student, x[i, None], s[j], D, found, float(np.abs(table).max())):
        return None
    values = np.empty((len(x), len(s)))
    ends.interpolate(x, s, *at, values)
    return None, values


def _end_table(student: Activation, points: Array, D: float) -> Array:
    """g0 where it reaches from one point of a symmetric axis to another: even under their swap.

    Of an odd student odd under both signs, too.
    """
    n = len(points)
    i, j = np.tril_indices(n)
    if student.odd:
        kept = i + j >= n - 1
        i, j = i[kept], j[kept]
    values = student.average(0.5 * (points[i] + points[j]), 0.5 * (points[i] - points[j]), D)
    table = np.empty((n, n))
    if student.odd:
        table[n - 1 - i, n - 1 - j] = table[n - 1 - j, n - 1 - i] = -values
    table[i, j] = table[j, i] = values
    return table


def by_frequencies(student: Activation, x: Array, s: Array, D: float) -> Array | None:
    """g0 by a Fourier series of σ, Σ_ω c(ω) e^{iωx} φ(ωs) with φ the characteristic function of U.

    A product of two factors for each frequency, hence one product of matrices, whatever the lengths
    of neurons. None if that is inaccurate.
    """
    furthest = float(np.abs(x).max() + s.max() * min(1.0, GAUSSIAN_REACH / math.sqrt(D)))
    omega, cosine, sine = _spectrum(student, furthest)
    size, which = np.unique(np.abs(x), return_inverse=True)
    i, j = _probes(x, s)
    across = sphere_characteristic(omega[:, None] * s, D)
    phase = omega * x[i, None]
    found = ((cosine * np.cos(phase) + sine * np.sin(phase)) * across[:, j].T).sum(axis=1)
    if not _agrees(student, x[i], s[j], D, found, float(np.abs(found).max())):
        return None
    phase = size[:, None] * omega
    odd = multiply(np.sin(phase), sine[:, None] * across)[which]
    odd[x < 0.0] *= -1.0
    return odd if student.odd else odd + multiply(np.cos(phase), cosine[:, None] * across)[which]


def _spectrum(student: Activation, furthest: float) -> tuple[Array, Array, Array]:
    """Frequencies, and the amplitudes of cos and sin, that make up σ at |x| ≤ furthest.

    There a window is 1 to rounding, and beyond it falls to 0 before the series repeats itself. Its
    width is such that its spectrum ends where that of σ does, which falls as e^{-ω strip}.
    """
    highest = DECAY / student.strip
    width = 2.0 * math.sqrt(DECAY) / highest  # of the error function that the window falls by
    half = furthest + 12.0 * width
    from scipy.fft import next_fast_len  # not at import, and only wanted here

    count = next_fast_len(math.ceil(4.0 * highest * half / math.pi), real=True)
    x = (np.arange(count) / count - 0.5) * 2.0 * half
    window = 0.5 * erfc((np.abs(x) - furthest - 6.0 * width) / width)
    amplitude = np.fft.rfft(window * student(x)) / count
    amplitude[1:] *= 2.0
    amplitude[1::2] *= -1.0  # x starts at −half
    size = np.abs(amplitude)
    kept = 1 + int(np.flatnonzero(size > FAINT * size.max()).max(initial=0))
    omega = np.arange(kept) * (math.pi / half)
    return omega, amplitude.real[:kept].copy(), -amplitude.imag[:kept]


def _probes(x: Array, s: Array) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.integers(len(x), size=PROBES), rng.integers(len(s), size=PROBES)


def _agrees(
    student: Activation, x: Array, s: Array, D: float, found: Array, size: float,
    *, within: float = TABLE_ERROR,
) -> bool:  # fmt: skip
    """Whether averages are what they are when taken directly, within so much of a size."""
    return bool(np.abs(found - student.average(x, s, D)).max() <= within * size)
