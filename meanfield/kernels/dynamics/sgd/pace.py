"""The pace of a run whose learning rate depends on the gradients it has met: AdaGrad-norm.

γ_ν = rate/√(b² + S_ν), S_ν = Σ_{μ<ν} |g_μ|²/d, is known before step ν. Every run has a clock of its
own in the row `own` (4,): the time t, what rounding leaves out of it, S, and the steps made. Runs
of one common pace have a row of none.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from meanfield.kernels.dynamics.sgd.step import LARGEST, Step
from meanfield.kernels.options import serial, serial_strict


class Pace(NamedTuple):
    """What the runs of one call have in common."""

    square: float  # b²
    step_time: float  # of a step at the first rate, rate/b
    wanted: float  # the time to go to: each run stops at the step nearest to it
    t_end: float  # and never beyond this one


@serial_strict
def share_of_rate(pace, own):
    """γ_ν as a part of the first rate; 0 where the time to go to has come.

    0 as well where the clock stands still, with S = ∞ for a sign.
    """
    share = math.sqrt(pace.square / (pace.square + own[2]))
    move = pace.step_time * share
    if not (own[2] <= LARGEST and own[0] + move > own[0]):
        own[2] = math.inf
        return 0.0
    there = pace.wanted - own[0] <= 0.5 * move or own[0] + move > pace.t_end
    return 0.0 if there else share


@serial_strict
def go_on(pace, own, share, square):
    """Put a step behind: its time, and |g|²/d."""
    move = pace.step_time * share + own[1]
    after = own[0] + move
    own[1] = move - (after - own[0])
    own[0] = after
    own[2] += square
    own[3] += 1.0


@serial
def slower(step, share):
    """A step of the first rate at a part of it; times and what grows with them go alike."""
    return Step(
        step.sigma, step.sigma_parameter, step.sigma_value, step.sigma_slope,
        step.tau, step.tau_parameter, step.tau_value, step.tau_slope,
        step.label, share * step.gain, share * step.second, step.noise, step.d, step.batch,
        step.spherical, 1.0 - share * (1.0 - step.keep),
        1.0 - share * (1.0 - step.second_keep), math.sqrt(share) * step.langevin,
        step.clip_norm,
    )  # fmt: skip
