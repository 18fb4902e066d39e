"""What the overlap equations refuse, and what they choose by themselves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.dynamics.overlaps.averages import OverlapAverages
from meanfield.dynamics.overlaps.noise import Noise, check_noise_options, choose_noise
from meanfield.problem import Problem
from meanfield.states import Overlaps

# below these widths, waking a second thread costs more than it gives
SERIAL_WIDTH, SERIAL_CLOSED_WIDTH = 256, 24


def check_belongs(problem: Any, overlaps: Any) -> None:
    """Refuse overlaps that are not those of a student of this problem."""
    checks.instance(problem, "problem", Problem)
    checks.instance(overlaps, "overlaps", Overlaps)
    check_gram(problem, overlaps.P)


def check_gram(problem: Problem, found: NDArray[np.float64]) -> None:
    """Refuse a P that is not the target's."""
    P = np.asarray(problem.target.gram)
    if found.shape != P.shape or not np.allclose(found, P, rtol=0.0, atol=1e-8 * np.abs(P).max()):
        raise ValueError(
            "overlaps must have the target's Gram matrix as their P: the target has "
            f"{np.array2string(P, threshold=9)}, got {np.array2string(found, threshold=9)}"
        )


def check_lengths(overlaps: Overlaps, spherical: bool) -> Overlaps:
    """Refuse a neuron that cannot be put on the sphere."""
    if spherical and (np.diag(overlaps.Q) <= 0).any():
        raise ValueError("overlaps must have a positive diagonal of Q if spherical, got a zero")
    return overlaps


def check_switch(value: Any, name: str) -> None:
    """Refuse what is not True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}")


def make_noise(
    averages: OverlapAverages,
    problem: Problem,
    p: int,
    sgd_noise: bool,
    noise_method: Any,
    samples: Any,
    seed: Any,
) -> Noise | None:
    """The form of the γ/p term, None for gradient flow."""
    if problem.temperature > 0.0 and math.isinf(problem.dim):
        raise ValueError(
            "problem must have a finite dim for the overlap equations at a temperature, got inf: "
            "|w|²/d gains 2τd a unit of time"
        )
    method, samples, seed = check_noise_options(noise_method, samples, seed)
    if not sgd_noise or problem.learning_rate == 0.0:
        return None
    return choose_noise(method, averages, p, samples, seed)


def choose_threads(threads: Any, p: int, noise: Noise | None) -> int | None:
    """The user's number of threads, or one where the work is too small to share."""
    if threads is not None:
        return checks.integer(threads, "threads")
    if noise is None:
        return 1 if p < SERIAL_WIDTH else None
    return 1 if noise.name == "closed" and p < SERIAL_CLOSED_WIDTH else None
