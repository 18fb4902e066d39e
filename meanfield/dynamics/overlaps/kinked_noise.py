"""The γ/p term of ReLU and leaky ReLU students in closed form."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.activations import Activation
from meanfield.dynamics.accuracy import relative
from meanfield.dynamics.overlaps.averages import Network
from meanfield.kernels.activations.units import ERF, LEAKY_RELU, RAMPS, SQUARE
from meanfield.kernels.dynamics.overlaps import kinked_noise as kernels
from meanfield.kernels.dynamics.overlaps.drift import semidefinite_factor
from meanfield.kernels.dynamics.overlaps.kinked_squares import square_products
from meanfield.kernels.gaussian.signs import COARSE, COARSE_ENDS, FINE, FINE_ENDS
from meanfield.targets import LinkUnits, Target, units_of

Matrix = NDArray[np.float64]

# a direction of its own for every unit, so small that it moves averages by less than 1e-8, gives
# residuals of units that depend on one another linearly a direction to point in
APART = 3e-9
DEPENDENT, ROUNDING = 1e-9, 1e-6  # an eigenvalue of the correlations, and what is lost below it
LINKS = RAMPS | {ERF, SQUARE}
TWO_OVER_PI, EDGE = kernels.TWO_OVER_PI, kernels.EDGE


class Halves(NamedTuple):
    """h and c of σ(λ) = hλ + c|λ|."""

    linear: float
    kink: float

    @classmethod
    def of(cls, sigma: Activation) -> Halves:
        """Those of ReLU or a leaky ReLU."""
        below = sigma.parameter if sigma.code == LEAKY_RELU else 0.0
        return cls(0.5 * (1.0 + below), 0.5 * (1.0 - below))


class Units(NamedTuple):
    """What the kernels take: see `meanfield.kernels.dynamics.overlaps.kinked_noise`.

    R (n, n) correlations, `rows` (n, m) of such products; γ (n,); b (n,) and V, covariances and
    variance of the linear part; `cross` (n, k) the covariances of the units with λ*.
    """

    R: Matrix
    rows: Matrix
    gamma: Matrix
    b: Matrix
    V: float
    cross: Matrix


class Tables(NamedTuple):
    """Angles and four signs of the units, and the nodes behind them."""

    singles: Matrix
    angles: Matrix
    fours: Matrix
    rule: tuple[Matrix, Matrix, tuple[int, ...]]


class KinkedNoise:
    """⟨σ'(λ_i) σ'(λ_j) (ε² + Δ)⟩ of kinked students and a committee of kinked, erf or square units.

    Parameters
    ----------
    sigma : Activation
        ReLU or leaky ReLU.
    target : Target
    units : LinkUnits
        Those of the target: of such a link, erf or square.
    """

    name, analytic = "closed", False

    def __init__(self, sigma: Activation, target: Target, units: LinkUnits):
        self.stats: dict[str, Any] = {}
        self.label_noise = 0.0
        self.own, self.code = Halves.of(sigma), units.link.code
        self.theirs = Halves.of(units.link) if self.code in RAMPS else None
        self.P, self.basis, self.shares = np.asarray(target.gram), units.basis, units.shares

    @classmethod
    def of(cls, sigma: Activation, target: Target) -> KinkedNoise | None:
        """That of these students and this target, if it has one."""
        units = units_of(target)
        if units is None or sigma.code not in RAMPS or units.link.code not in LINKS:
            return None
        return cls(sigma, target, units)

    def term(self, network: Network) -> Matrix:
        """See `Noise`."""
        return self._term(network, (FINE[0], FINE[1], FINE_ENDS))

    def error(self, network: Network) -> float:
        """From a rule of fewer nodes, and rounding where units all but depend on one another."""
        fine, coarse = (
            self._term(network, (rule[0], rule[1], ends))
            for rule, ends in ((FINE, FINE_ENDS), (COARSE, COARSE_ENDS))
        )
        # from one rule to the next the error falls by a thousand and more, see `signs`
        error = 1e-2 * relative(fine - coarse, fine)
        dependent = np.linalg.eigvalsh(self._units(network).R)[0] < DEPENDENT
        return max(error, ROUNDING if dependent else 0.0)

    def _term(self, network: Network, rule: tuple[Matrix, Matrix, tuple[int, ...]]) -> Matrix:
        p, own = len(network.a), self.own
        units = self._units(network)
        tables = _tables(units, rule)
        both = np.empty((p, p))
        kernels.ramp_products(
            units.R, tables.angles, tables.fours, units.gamma, units.b, units.V, p, both
        )
        mixed = np.empty(p)
        kernels.linear_with_ramps(units.R, units.gamma, units.b, mixed)
        energy = units.V + _ramp_energy(units)
        if self.code == ERF:
            energy += self._erf(units, tables, both, mixed)
        elif self.code == SQUARE:
            energy += self._square(units, tables, both, mixed)
        signs = TWO_OVER_PI * np.arcsin(np.clip(units.R[:p, :p], -1.0, 1.0))
        both += self.label_noise * signs
        energy += self.label_noise
        np.fill_diagonal(both, energy)
        cross = 2.0 * own.linear * own.kink * mixed
        return own.linear**2 * energy + cross[:, None] + cross + own.kink**2 * both

    def _units(self, network: Network) -> Units:
        """Students, and units of the target that have a sign, at unit variance."""
        a, p = network.a, len(network.a)
        e, M = -a / p, network.u @ self.basis.T
        C, cross, rows = network.Q, M, np.hstack((network.u, factor_of(network)))
        linear, ramps = self.own.linear * e, self.own.kink * e
        if self.code != SQUARE:
            P = self.P + np.eye(len(self.P)) if self.code == ERF else self.P
            C, cross = np.block([[C, M], [M.T, P]]), np.concatenate((M, self.P))
            rows = stacked_rows(rows, self.basis, np.eye(len(P)) * (self.code == ERF))
            theirs = Halves(0.0, 0.0) if self.theirs is None else self.theirs
            linear = np.concatenate((linear, theirs.linear * self.shares))
            ramps = np.concatenate((ramps, theirs.kink * self.shares))
        length = np.sqrt(np.maximum(np.diag(C), 0.0))
        over = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0.0)
        R = np.clip(C * over[:, None] * over, -1.0, 1.0)
        np.fill_diagonal(R, 1.0)
        covariance = C @ linear  # of every unit with the linear part
        rows = np.hstack((rows * over[:, None], APART * np.eye(len(R))))
        rows /= np.linalg.norm(rows, axis=1)[:, None]
        cross = cross * over[:, None]
        return Units(R, rows, ramps * length, covariance * over, float(linear @ covariance), cross)

    def _erf(self, units: Units, tables: Tables, both: Matrix, mixed: Matrix) -> float:
        """Add what erf units make to averages with signs; their part of ⟨ε²⟩."""
        p, nu = len(mixed), self.shares
        variance = 1.0 + np.diag(self.P)
        root = np.sqrt(variance)
        sines = self.P / (root[:, None] * root)
        copies = np.ascontiguousarray(np.diag(sines))
        kernels.erf_products(
            units.R, tables.singles, tables.fours, copies, *tables.rule, nu, units.b, p, both
        )  # fmt: skip
        kernels.signs_with_ramps(units.R, tables.singles, units.gamma, nu, p, mixed)
        own = TWO_OVER_PI * float(nu @ np.arcsin(sines) @ nu)
        return own + 2.0 * EDGE * float(nu @ units.b[p:])

    def _square(self, units: Units, tables: Tables, both: Matrix, mixed: Matrix) -> float:
        """The same for square units."""
        e, cross = self.shares, units.cross
        G = (cross * e) @ cross.T
        G2 = (cross * e) @ self.P @ (cross * e).T
        trace = float(e @ np.diag(self.P))
        square = trace * trace + 2.0 * float(e @ (self.P * self.P) @ e)
        square_products(units.R, tables.singles, G, G2, trace, square, units.gamma, both)
        # L is Σ_m c_m x_m with b = Rc: its covariance with λ* comes from the coefficients
        own = np.diag(G)
        weighted = self._linear_with_target(units) * e
        mixed += EDGE * (trace * units.b + 2.0 * (cross @ weighted) - units.b * own)
        return square + 2.0 * EDGE * float(units.gamma @ (trace + own))

    def _linear_with_target(self, units: Units) -> Matrix:
        """cov(L, λ*_r), (k,): γ over c is the coefficient of x in the linear part over h."""
        return units.cross.T @ (units.gamma * (self.own.linear / self.own.kink))


def _tables(units: Units, rule: tuple[Matrix, Matrix, tuple[int, ...]]) -> Tables:
    """Of all pairs of pairs."""
    n = len(units.R)
    pairs = n * (n - 1) // 2
    singles, angles = np.empty((n, pairs)), np.empty((pairs, pairs))
    fours = np.zeros((pairs, pairs))
    kernels.angle_tables(units.rows, singles, angles)
    kernels.sign_table(units.R, *rule, fours)
    return Tables(singles, angles, fours, rule)


def stacked_rows(students: Matrix, basis: Matrix, own: Matrix) -> Matrix:
    """Rows of students, and under them a target's: principal coordinates first, `own` last."""
    p, k = len(students), len(basis)
    out = np.zeros((p + k, students.shape[1] + k))
    out[:p, : students.shape[1]] = students
    out[p:, : basis.shape[1]] = basis
    out[p:, students.shape[1] :] = own
    return out


def factor_of(network: Network) -> Matrix:
    """A root (p, p) of the perpendicular overlaps."""
    assert network.N is not None
    try:
        return np.asarray(np.linalg.cholesky(network.N))
    except np.linalg.LinAlgError:
        return semidefinite_factor(network.N)


def _ramp_energy(units: Units) -> float:
    """⟨(Σ_m γ_m |x_m|)²⟩."""
    R = np.clip(units.R, -1.0, 1.0)
    products = np.sqrt((1.0 - R) * (1.0 + R)) + R * np.arcsin(R)
    return TWO_OVER_PI * float(units.gamma @ products @ units.gamma)
