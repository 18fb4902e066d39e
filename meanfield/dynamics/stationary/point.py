"""Stationary points of the overlap equations by Newton's method, and the spectrum there."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.dynamics.fluctuations.coordinates import Coordinates
from meanfield.dynamics.fluctuations.drift import OverlapField
from meanfield.dynamics.overlaps.averages import OverlapAverages
from meanfield.dynamics.overlaps.flow import without_negative_part
from meanfield.dynamics.overlaps.noise import choose_noise
from meanfield.dynamics.run import check_gram
from meanfield.dynamics.stationary.newton import FreeFlow, newton, within_face
from meanfield.problem import Problem, refuse_schedules
from meanfield.states import Overlaps, check_state

Array = NDArray[np.float64]

OFF_CONE = 1e-7  # of Q: a smallest eigenvalue of N that is no rounding any more
DERIVATIVE_ERROR = 1e-3  # of J, beyond which it is not known
FLAT = 1e-6  # of the largest eigenvalue: what counts as 0


class Direction(NamedTuple):
    """A direction in the space of overlaps: dQ (p, p), dM (p, k), da (p,)."""

    Q: Array
    M: Array
    a: Array


@dataclass(frozen=True)
class StationaryPoint:
    """A point at which the flow of the overlaps stands still.

    Attributes
    ----------
    overlaps : Overlaps
        Where it lies.
    risk : float
        R there: the height of a plateau.
    residual : float
        The largest component of the velocity that is left.
    eigenvalues : ndarray, shape (m,)
        Of the flow's Jacobian J in the coordinates (Q_ij for i ≤ j, M, a if it moves), per unit of
        time; largest real part first; complex where the flow turns. NaN if the overlaps lie on the
        edge of the cone and F is not known beyond it.
    eigenvectors : ndarray, shape (m, m)
        In columns, of length one; `direction` lays them out as matrices.
    derivative_error : float
        By how much J changes with differences over twice the length, relatively (Frobenius norm).
    kind : str
        ``"stable"``, ``"saddle"``, ``"unstable"``, or ``"marginal"``: stable but for directions
        along which the flow stands still to first order.
    success : bool
        Whether Newton's method converged, to overlaps of some network, and J is known there.
    message : str

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=2), dim=100)
    >>> start = mf.Overlaps([[0.35] * 2] * 2, [[0.4] * 2] * 2, [[1, 0], [0, 1]], [1, 1])
    >>> point = mf.find_stationary(problem, start)
    >>> point.kind, round(float(point.overlaps.Q[0, 1]), 6)
    ('saddle', 0.333333)
    """

    overlaps: Overlaps
    risk: float
    residual: float
    eigenvalues: NDArray[np.number]
    eigenvectors: NDArray[np.number]
    derivative_error: float
    kind: str
    success: bool
    message: str
    _coordinates: Coordinates = field(repr=False, compare=False)

    @property
    def escape_rate(self) -> float:
        """The largest real part of an eigenvalue: a deviation grows as e^(rate t), if above 0."""
        return float(np.real(self.eigenvalues[0]))

    def direction(self, number: int = 0) -> Direction:
        """An eigenvector as matrices; number 0 is what the point is left along."""
        v = np.real(self.eigenvectors[:, number])
        Q, M, a = self._coordinates.split(v)
        return Direction(Q, M, a if self._coordinates.moving else np.zeros(self._coordinates.p))


def find_stationary(
    problem: Problem,
    overlaps: Overlaps,
    sgd_noise: bool = False,
    *,
    spherical: bool = False,
    batch_size: int = 1,
) -> StationaryPoint:
    """The stationary point of the overlap equations that Newton's method reaches from here.

    Parameters
    ----------
    problem : Problem
        Of temperature 0.
    overlaps : Overlaps
        Where to start. Points on the edge of the cone of overlaps, such as equal units, are
        reached and looked at as any other: F is analytic there and goes on. With kinks it does
        not: ⟨σ'(λ_i)σ'(λ_j)⟩ is an arc sine, and a point on the edge has no spectrum.
    sgd_noise : bool
        Whether to keep the γ/p term, which needs a closed form here: erf students under erf, ReLU
        or square (p ≤ 96), square under square, ReLU and leaky ReLU students under these, erf or
        square (p ≤ 48; some p⁶ operations an iteration, seconds at p = 16).
    spherical : bool
        On the spheres |w_i|² = d; lengths of the start are set to 1.
    batch_size : int
        Samples that a step of SGD averages over; divides the γ/p term.

    Returns
    -------
    StationaryPoint
        Its ``success`` and ``message`` say if something is not as it should be.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Notes
    -----
    J is taken by central differences of F's formulas, good to about 1e-8, and to what
    ``derivative_error`` states near the edge of the cone, where steps must be short. For an
    isotropic erf committee of k units and as many neurons the symmetric plateau is
    Q_ij = 1/(2k − 1) and M_ir = 1/√(k(2k − 1)) without the γ/p term (Saad & Solla 1995).

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> point = mf.find_stationary(problem, mf.Overlaps([[0.9]], [[0.8]], [[1.0]], [1.0]))
    >>> point.kind, bool(point.risk < 1e-12)
    ('stable', True)
    """
    field, y0 = _prepare(problem, overlaps, sgd_noise, spherical, batch_size)
    flow = FreeFlow(field, y0)
    if flow.inside and flow.room(y0) <= 0.0:
        raise ValueError(
            "overlaps must lie inside the cone, that is Q − M P⁻¹ Mᵀ positive definite, for the "
            "γ/p term of units with kinks"
        )
    with np.errstate(all="ignore"):
        x, converged, message = newton(flow.velocity, y0[flow.free], flow.scale)
        y = within_face(field, flow.whole(x)) if converged else flow.whole(x)
        F = field(y)
        J, less = flow.jacobians(y)
    state, off = _state(field, y, overlaps)
    inside = flow.known(y)
    if off > OFF_CONE:
        converged = False
        message = f"Newton's method left the cone of overlaps by {off:.1e}: start nearer"
    if converged and not inside:
        message = "the point lies on the edge of the cone, beyond which F is not known: no spectrum"
    known = inside and bool(np.isfinite(J).all() and np.isfinite(less).all())
    error = float(np.linalg.norm(J - less) / np.linalg.norm(J)) if known else math.nan
    if converged and error > DERIVATIVE_ERROR:
        converged, message = False, f"derivatives err by {error:.1e}, relatively, and so does J"
    values, vectors = _spectrum(J) if known else _nothing(len(J))
    lifted = np.zeros((len(y), len(J)), dtype=vectors.dtype)
    lifted[flow.free] = vectors
    return StationaryPoint(
        state, max(field.risk(y), 0.0), float(np.abs(F).max()), values, lifted, error,
        _kind(values), converged and known, message, field.coordinates,
    )  # fmt: skip


def _prepare(
    problem: Problem, overlaps: Overlaps, sgd_noise: bool, spherical: bool, batch_size: int
) -> tuple[OverlapField, Array]:
    """F, and where Newton's method starts."""
    refuse_schedules(checks.instance(problem, "problem", Problem), "its stationary points")
    check_state(overlaps, "overlaps", Overlaps)
    check_gram(problem, overlaps.P, "overlaps")
    if problem.temperature > 0.0:
        raise ValueError(
            f"problem must have temperature 0 for find_stationary, got {problem.temperature:g}"
        )
    sgd_noise = checks.switch(sgd_noise, "sgd_noise")
    spherical = checks.switch(spherical, "spherical")
    batch_size = checks.integer(batch_size, "batch_size")
    averages = OverlapAverages(problem)
    noise = choose_noise(averages, problem, overlaps.p, sgd_noise, "auto", None, 0)
    if noise is not None and noise.name != "closed":
        raise ValueError(
            "sgd_noise must be False for this problem: its γ/p term has no closed form at "
            f"p = {overlaps.p}, and neither samples nor series have derivatives"
        )
    c = Coordinates(overlaps.p, overlaps.k, overlaps.a, problem.second_layer_rate > 0.0)
    Q, M = np.array(overlaps.Q), np.array(overlaps.M)
    if spherical:
        length = np.sqrt(np.diag(Q))
        if not (length > 0.0).all():
            raise ValueError("overlaps must have a positive diagonal of Q if spherical")
        Q, M = Q / np.outer(length, length), M / length[:, None]
        np.fill_diagonal(Q, 1.0)
    field = OverlapField(problem, c, averages, noise, batch_size, spherical)
    return field, c.join(Q, M, np.asarray(overlaps.a))


def _state(field: OverlapField, y: Array, start: Overlaps) -> tuple[Overlaps, float]:
    """The overlaps, and how far off the cone they were."""
    Q, M, a = field.coordinates.split(y)
    network = field.network(y)
    assert network.N is not None
    size = max(float(np.abs(Q).max()), 1e-300)
    smallest = float(np.linalg.eigvalsh(network.N)[0])
    N = without_negative_part(network.N)
    whole = network.u @ network.u.T + N
    return Overlaps(whole, M, start.P, a, start.origin), max(-smallest, 0.0) / size


def _spectrum(J: Array) -> tuple[NDArray[np.number], NDArray[np.number]]:
    """Eigenvalues and eigenvectors, those that grow fastest first; real if all are."""
    values, vectors = np.linalg.eig(J)
    size = float(np.abs(values).max())
    if float(np.abs(np.imag(values)).max()) <= FLAT * size:
        values, vectors = np.real(values), np.real(vectors)
    order = np.argsort(-np.real(values), kind="stable")
    return values[order], vectors[:, order]


def _nothing(n: int) -> tuple[NDArray[np.number], NDArray[np.number]]:
    return np.full(n, np.nan), np.full((n, n), np.nan)


def _kind(values: NDArray[np.number]) -> str:
    real = np.real(values)
    if not np.isfinite(real).all():
        return "unknown"
    flat = FLAT * float(np.abs(values).max())
    if real[0] > flat:
        return "saddle" if real[-1] < flat else "unstable"
    return "stable" if real[0] < -flat else "marginal"
