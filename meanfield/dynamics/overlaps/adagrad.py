"""The overlap equations under AdaGrad-norm: γ is a part of the state.

With γ = rate/√(b² + S) and dS/dt = Σ_i ⟨C_i²⟩/γ, C_i = a_i σ'(λ_i) ε with label noise, over the
batch,

    dγ/dt = −½ (γ/rate)² Σ_i ⟨C_i²⟩,

where Σ_i ⟨C_i²⟩ is p/γ times the trace of the γ/p term, so that nothing more is averaged. Beside γ
the vector ends in α/(p t_end/γ(0)), which dα/dt = p/γ moves: numbers of order 1, in which the
integrator's floors are meant.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.overlaps.flow import OverlapFlow

Matrix = NDArray[np.float64]


class AdaptiveFlow(OverlapFlow):
    """Velocity of the overlaps, of γ and of α; see `OverlapFlow`, whose vector comes first."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        law = self.problem.learning_rate
        self.first, self.rate_squared = law.first, law.rate**2
        self.span = self.p * self.rates.t_end / self.first
        self.y0 = np.concatenate((self.y0, [self.first, 0.0]))

    def pace(self, y: Matrix) -> dict[str, float]:
        """See `OverlapFlow`."""
        return {"learning_rate": float(y[-2]), "alpha": float(y[-1]) * self.span}

    def autonomous_velocity(self, y: Matrix, out: Matrix) -> None:
        """See `OverlapFlow`."""
        gamma = float(y[-2])
        self.rate = gamma / (self.p * self.batch_size)
        super().autonomous_velocity(y[: self.end], out[: self.end])
        squares = float(np.trace(self.term)) - self.p * self.langevin
        with np.errstate(all="ignore"):  # as all of a run that blows up
            out[-2] = np.float64(-0.5 * self.p * gamma / self.rate_squared) * squares
            out[-1] = np.float64(self.p / self.span) / gamma
