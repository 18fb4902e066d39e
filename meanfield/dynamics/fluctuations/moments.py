"""The equations of the ODE, of Σ and of m as one vector, and the band of the risk.

    dΣ/dt = JΣ + ΣJᵀ + s C,    dm/dt = Jm + ½ H:Σ + s (e − ½ JF − ½ ∂F/∂t),

with s = γ(t)/γ(0), in units of η(0) = γ(0)/(pd): a step goes by Euler's rule, whose error is half
the change of F along it, and rates that change are a part of that change.

With Σ = Σ_α s_α v_α v_αᵀ, the derivatives of F along the m eigenvectors are all that JΣ and H:Σ
ask for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.fluctuations.differences import Directional, along, derivative
from meanfield.dynamics.fluctuations.drift import OverlapField, around, going
from meanfield.dynamics.fluctuations.sample import StepSample
from meanfield.dynamics.fluctuations.scores import NoiseScores
from meanfield.dynamics.rates import Rates, RateSeries

Array = NDArray[np.float64]

NOTHING = 1e-15  # of the largest eigenvalue of Σ
LINEAR = 1e-5  # second derivatives below this share of |F| over the square of its scale are none
LOOKS = 32  # eigenvectors of Σ along which the error of differences is estimated


class Moments(NamedTuple):
    """y (m,), the bias m (m,) and Σ (m, m)."""

    y: Array
    mean: Array
    sigma: Array


class Band(NamedTuple):
    """√(∇RᵀΣ∇R) and ∇R·m + ½ tr ∇²R Σ: the risk's scatter over √η and its bias over η."""

    risk: float
    spread: float
    shift: float


class MomentFlow:
    """Velocity of (y, m, Σ).

    Parameters
    ----------
    field : OverlapField
    sample : StepSample
    scored : bool
        Whether the γ/p term and its derivatives come from the sample; `value` says whether the
        term itself does.
    value : bool
    rates : RateSeries
        Of the problem.
    """

    def __init__(
        self, field: OverlapField, sample: StepSample, scored: bool, value: bool, rates: RateSeries
    ):
        self.field, self.sample, self.scored, self.value = field, sample, scored, value
        self.size = field.coordinates.size
        self.rates, self.gamma = rates, rates(0.0).learning_rate
        self.set_time(0.0)

    def pack(self, moments: Moments) -> Array:
        """One vector."""
        return np.concatenate([np.ravel(part) for part in moments])

    def read(self, vector: Array) -> Moments:
        """The parts of one."""
        m = self.size
        sigma = vector[2 * m :].reshape(m, m)
        return Moments(vector[:m], vector[m : 2 * m], 0.5 * (sigma + sigma.T))

    def weight(self) -> Array:
        """Weights of the components in the error of a step: Σ has m² of them, y only m."""
        ones = np.ones(2 * self.size)
        return np.concatenate((ones, np.full(self.size**2, 1.0 / self.size)))

    def scale(self, y: Array) -> float:
        """Over which F changes: the lengths of neurons, or one."""
        lengths = y[self.field.coordinates.diagonal]
        return float(min(1.0, max(np.min(lengths), 1e-6)))

    def set_time(self, t: float) -> float:
        """Use the rates of a time; s = γ(t)/γ(0)."""
        now = self.rates(t)
        share = going(now, t) / self.gamma
        self.field.set_rates(now)
        return share

    def velocity(self, t: float, vector: Array, out: Array) -> None:
        """Write the velocity into `out`."""
        now, m = self.read(vector), self.size
        if not np.isfinite(vector).all():
            out[:] = np.nan
            return
        y, field, sample = now.y, self.field, self.sample
        change = self._change_of_rates(t, y)
        share = self.set_time(t)
        draw = sample.at(y)
        scores = NoiseScores(field, draw, field.coordinates.split(y).a) if self.scored else None
        fixed = self._fixed(y, scores)
        F = field.project(y, field.drift(y) + fixed)
        sizes, v = spectrum(now.sigma)
        # J(m − ½ s F) is one derivative more, along the direction of m − ½ s F, which has weight 0
        # in Σ; `sizes` and the rows of v are eigenvalues and eigenvectors of Σ
        rest = now.mean - 0.5 * share * F
        sizes, v = np.append(sizes, 0.0), np.vstack((v, unit(rest)))
        found = self.derivatives(y, F, fixed, scores, sizes, v)
        JSigma = (found.first * sizes[:, None]).T @ v
        out[:m] = F
        out[m : 2 * m] = found.first[-1] * np.linalg.norm(rest) + 0.5 * found.second
        out[m : 2 * m] += share * sample.bias(y, draw) + change
        growth = JSigma + JSigma.T + share * sample.covariance(y, draw)
        out[2 * m :] = growth.ravel()

    def _change_of_rates(self, t: float, y: Array) -> Array:
        """What rates that change add to dm/dt: −½ s ∂F/∂t, and what SGD's own α does.

        F is differenced between two jumps of the rates, in all of them and in those that read α.
        """
        rates = self.rates
        if not rates:
            return np.zeros(self.size)
        before, after = around(rates, t)
        now, first, last = rates(t), rates(before), rates(after)
        F = self._flow_at(last, y) - self._flow_at(first, y)
        out = -0.5 * now.learning_rate / self.gamma * F
        by_alpha = [name for name, each in rates.schedules.items() if each.clock == "alpha"]
        if by_alpha:
            earlier, later = (
                now._replace(**{name: getattr(end, name) for name in by_alpha})
                for end in (first, last)
            )
            F = self._flow_at(later, y) - self._flow_at(earlier, y)
            out = out + self._lead_of_alpha(t) * F
        return out / (after - before)

    def _lead_of_alpha(self, t: float) -> float:
        """By how much, as a time over η(0), the α of SGD is ahead of ∫p/γ dt.

        A step takes the rate at its start. If γ reads α, t = Σ γ/(pd) is therefore a left Riemann
        sum of ∫ γ/p dα, above it by half of what γ/(pd) has lost (Euler and Maclaurin), jumps
        apart: at a given t, α is behind by as much. If γ reads t, α = Σ (p/γ) Δt is such a sum of
        ∫ p/γ dt, ahead of it by ½ log(γ(t)/γ(0))/d, which is a time γ/p of that.
        """
        rates = self.rates
        schedule = rates.schedules.get("learning_rate")
        if schedule is None:
            return 0.0
        starts = [0.0, *(x for x in rates.breaks if x <= t)]
        ends = [*(math.nextafter(x, 0.0) for x in starts[1:]), t]
        values = [[rates(x).learning_rate for x in both] for both in zip(starts, ends, strict=True)]
        if schedule.clock == "alpha":
            return 0.5 * sum(after - before for before, after in values) / self.gamma
        logs = sum(math.log(after / before) for before, after in values)
        return 0.5 * values[-1][1] / self.gamma * logs

    def _flow_at(self, rates: Rates, y: Array) -> Array:
        """F at other rates."""
        self.field.set_rates(rates)
        scores = None
        if self.scored and self.value:
            draw = self.sample.at(y)
            scores = NoiseScores(self.field, draw, self.field.coordinates.split(y).a)
        return self.field.project(y, self.field.drift(y) + self._fixed(y, scores))

    def _fixed(self, y: Array, scores: NoiseScores | None) -> Array:
        """The γ/p term at y: over the sample, or in closed form."""
        if scores is not None and self.value:
            return scores.term()
        return self.field.noise_term(y)

    def _smooth(self, fixed: Array) -> Callable[[Array], Array]:
        """What differences are taken of: all of F, or F with a γ/p term that stays as it is."""
        field = self.field
        if not self.scored:
            return field
        return lambda x: field.project(x, field.drift(x) + fixed)

    def derivatives(
        self, y: Array, F: Array, fixed: Array, scores: NoiseScores | None,
        sizes: Array, v: Array, stretch: float = 1.0,
    ) -> Directional:  # fmt: skip
        """J v_α for each row of v, and Σ_α s_α of the second derivatives of F."""
        field, scale = self.field, stretch * self.scale(y)
        plain = along(self._smooth(fixed), y, v, sizes, scale, F)
        if scores is None:
            return plain
        noise = scores.along(v, sizes)
        first = plain.first + field.project(y, noise.first)
        second = plain.second + field.project(y, noise.second)
        if field.spherical:
            second = second + 2.0 * sizes @ field.coordinates.bend(v, noise.first)
        return Directional(first, second)

    def derivative_error(self, y: Array, sizes: Array, v: Array) -> float:
        """By how much JΣ and H:Σ change with steps of twice the length, relatively.

        Along those of the eigenvectors of Σ, the rows of v, that have the most part in it.
        """
        field = self.field
        largest = np.argsort(np.abs(sizes))[-LOOKS:]
        sizes, v = sizes[largest], v[largest]
        if not sizes.any():
            return 0.0
        fixed = field.noise_term(y)
        F = field.project(y, field.drift(y) + fixed)
        one, two = (self.derivatives(y, F, fixed, None, sizes, v, s) for s in (1.0, 2.0))
        # where F is all but linear its second derivatives are rounding, of no account
        curved = LINEAR * float(np.linalg.norm(F) * np.abs(sizes).sum()) / self.scale(y) ** 2
        parts = (
            (one.first, two.first, sizes[:, None], 1e-300),
            (one.second, two.second, 1.0, max(curved, 1e-300)),
        )
        errors = [
            np.linalg.norm((a - b) * w) / max(float(np.linalg.norm(a * w)), least)
            for a, b, w, least in parts
        ]
        return float(max(errors))

    def band(self, y: Array, mean: Array, sizes: Array, v: Array) -> Band:
        """The risk and its band, from eigenvalues and eigenvectors of Σ."""
        field = self.field
        risk, scale = field.risk(y), self.scale(y)
        found = along(field.risks, y, v, sizes, scale, np.asarray(risk))
        shift = float(derivative(field.risk, y, mean, scale)) + 0.5 * float(found.second)
        spread = float(np.sqrt(max(float(sizes @ found.first**2), 0.0)))
        return Band(max(risk, 0.0), spread, shift)


def spectrum(sigma: Array) -> tuple[Array, Array]:
    """Eigenvalues (n,) and eigenvectors as rows (n, m), without those at the level of rounding."""
    values, vectors = np.linalg.eigh(sigma)
    kept = np.abs(values) > NOTHING * np.abs(values).max()
    return values[kept], np.ascontiguousarray(vectors[:, kept].T)


def unit(v: Array) -> Array:
    """v of length one, or 0."""
    length = float(np.linalg.norm(v))
    return v / length if length > 0.0 else v
