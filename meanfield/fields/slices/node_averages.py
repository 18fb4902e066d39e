"""E σ(t v + ρ r U) for every t, v, ρ, r: what a mesh gives on the nodes.

These are millions of averages, of a function of two numbers: g0(x, s) with x = t v and s = ρ r.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.fft import next_fast_len
from scipy.special import erfc

from meanfield.activations import Activation
from meanfield.fields.base import Array
from meanfield.fields.slices.axes import Axis, Resolution
from meanfield.gaussian.coordinate import sphere_characteristic
from meanfield.gaussian.rules import GAUSSIAN_REACH
from meanfield.kernels.fields.slices.products import multiply

TABLES = [Resolution(0.05, 1e-15, margin) for margin in (1.5, 2.5, 4.0)]
FEW = 5000  # averages that are taken one by one
PROBES = 300  # averages a table is held to
TABLE_ERROR = 1e-11  # of the largest
DECAY = 32.0  # e^-32: where spectra end
FAINT = 1e-16  # of the largest amplitude, a frequency that is left out


def averages_on_product(
    student: Activation, t: Array, v: Array, rho: Array, r: Array, D: float
) -> Array:
    """E σ(t v + ρ r U), shape (len(t) len(ρ), len(v), len(r)).

    From a table of g0, or frequency by frequency, where that is accurate, which a few averages
    taken directly decide. For few dimensions and long r no table is: g0 is rough around |x| = s.
    """
    x, s = np.outer(t, v).ravel(), np.outer(rho, r).ravel()
    few = len(x) * len(s) < FEW
    ways = () if few else _ways(student, x, s, D)
    values = next((found for found in ways if found is not None), None)
    if values is None:
        values = student.average(x[:, None], s, D)
    shaped = values.reshape(len(t), len(v), len(rho), len(r)).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(shaped.reshape(-1, len(v), len(r)))


def _ways(student: Activation, x: Array, s: Array, D: float) -> Iterator[Array | None]:
    """g0 for all pairs of x and s in the ways there are, quick ones first; None where one fails."""
    for resolution in TABLES:
        yield _tabulated(student, x, s, D, resolution)
    if 1 < D < math.inf:
        yield by_frequencies(student, x, s, D)


def _tabulated(
    student: Activation, x: Array, s: Array, D: float, resolution: Resolution
) -> Array | None:
    """g0 by polynomials in asinh of both x and s; None if that is inaccurate."""
    along = Axis(float(np.abs(x).max()), resolution, -1 if student.odd else 0)
    across = Axis(float(s.max()), resolution, 1)
    table = np.ascontiguousarray(student.average(along.x[:, None], across.x, D))
    rows = along.interpolation(np.arcsinh(x))
    columns = np.ascontiguousarray(across.interpolation(np.arcsinh(s)).T)
    i, j = _probes(x, s)
    found = ((rows[i] @ table) * columns[:, j].T).sum(axis=1)
    if not _agrees(student, x[i], s[j], D, found, float(np.abs(table).max())):
        return None
    return multiply(multiply(rows, table), columns)


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


def _agrees(student: Activation, x: Array, s: Array, D: float, found: Array, size: float) -> bool:
    """Whether averages are what they are when taken directly."""
    return bool(np.abs(found - student.average(x, s, D)).max() <= TABLE_ERROR * size)
