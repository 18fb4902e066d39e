"""E σ(t v + ρ r U) for every t, v, ρ, r: what a mesh gives on the nodes.

These are millions of averages, of a function of two numbers: g0(x, s) with x = t v and s = ρ r.
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.activations import Activation
from meanfield.fields.base import Array
from meanfield.fields.slices.axes import Axis, Resolution
from meanfield.gaussian.coordinate import sphere_characteristic
from meanfield.gaussian.rules import GAUSSIAN_REACH
from meanfield.kernels.fields.slices.products import multiply

TABLES = [Resolution(0.05, 1e-15, margin) for margin in (1.5, 2.5, 4.0, 6.0)]
FEW = 5000  # averages that are taken one by one
PROBES = 300  # averages a table is held to
TABLE_ERROR = 1e-11  # of the largest


def averages_on_product(
    student: Activation, t: Array, v: Array, rho: Array, r: Array, D: float
) -> Array:
    """E σ(t v + ρ r U), shape (len(t) len(ρ), len(v), len(r)).

    From a table of g0 where one is accurate, which a few averages taken directly decide. For few
    dimensions and long r none is: g0 is rough around |x| = s.
    """
    x, s = np.outer(t, v).ravel(), np.outer(rho, r).ravel()
    tables = (_tabulated(student, x, s, D, table) for table in TABLES)
    few = len(x) * len(s) < FEW
    values = None if few else next((table for table in tables if table is not None), None)
    if values is None:
        if student.name == "erf" and math.isfinite(D):
            values = error_function_average(x, s, D)
        else:
            values = student.average(x[:, None], s, D)
    shaped = values.reshape(len(t), len(v), len(rho), len(r)).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(shaped.reshape(-1, len(v), len(r)))


def _tabulated(
    student: Activation, x: Array, s: Array, D: float, resolution: Resolution
) -> Array | None:
    """g0 for all pairs of x and s by polynomials in asinh of both; None if that is inaccurate."""
    along = Axis(float(np.abs(x).max()), resolution, -1 if student.odd else 0)
    across = Axis(float(s.max()), resolution, 1)
    table = np.ascontiguousarray(student.average(along.x[:, None], across.x, D))
    rows = along.interpolation(np.arcsinh(x))
    columns = np.ascontiguousarray(across.interpolation(np.arcsinh(s)).T)
    rng = np.random.default_rng(0)
    i, j = rng.integers(len(x), size=PROBES), rng.integers(len(s), size=PROBES)
    found = ((rows[i] @ table) * columns[:, j].T).sum(axis=1)
    error = float(np.abs(found - student.average(x[i], s[j], D)).max())
    if not error <= TABLE_ERROR * float(np.abs(table).max()):
        return None
    return multiply(multiply(rows, table), columns)


def error_function_average(x: Array, s: Array, D: float) -> Array:
    """E erf((x + s U)/√2) for all pairs, shape (len(x), len(s)), for finite D.

    By its Fourier integral, (2/π) ∫ dω/ω e^{-ω²/2} sin(ω x) φ(ω s) with φ the characteristic
    function of U: a product of two factors for each ω, hence one matrix product. The midpoint rule
    in ω is exact but for images one period 2π/Δω away, kept beyond reach.
    """
    narrow = min(1.0, GAUSSIAN_REACH / math.sqrt(D))  # how far |U| reaches
    period = float(np.abs(x).max() + s.max() * narrow) + 2.0 * GAUSSIAN_REACH
    count = math.ceil(GAUSSIAN_REACH * period / (2.0 * math.pi))
    omega = (np.arange(count) + 0.5) * (2.0 * math.pi / period)
    weight = (2.0 / math.pi) * (2.0 * math.pi / period) * np.exp(-0.5 * omega**2) / omega
    across = weight[:, None] * sphere_characteristic(np.outer(omega, s), D)
    return np.sin(np.outer(x, omega)) @ across
