"""The averages behind the overlap equations, for many runs of one problem at once."""

from __future__ import annotations

import numpy as np

from meanfield.kernels.dynamics.overlaps.drift import drift_alone, energy_alone, fields_alone
from meanfield.kernels.dynamics.overlaps.noise import erf_noise_group
from meanfield.kernels.dynamics.overlaps.velocity import join
from meanfield.kernels.options import shared
from meanfield.kernels.simd import LANES


def _runs(*args):
    """A task a run, of a microsecond and more."""
    return len(args[-1]), 1000.0 * len(args[-1])


@shared(_runs)
def many_drifts(first, last, sigma, tau, Q, M, P, a, e_target, D, E):
    """D (runs, p, p) and E (runs, p, k) of Q (runs, p, p), M (runs, p, k) and a (runs, p)."""
    p = a.shape[1]
    for run in range(first, last):
        C, e = np.empty((p + P.shape[0], p + P.shape[0])), np.empty(p + P.shape[0])
        join(Q[run], M[run], P, a[run], e_target, C, e)
        drift_alone(sigma, tau, Q[run], M[run], P, a[run], e, D[run], E[run])


@shared(_runs)
def many_fields(first, last, sigma, tau, Q, M, P, a, e_target, out):
    """⟨σ(λ_i) ε⟩ of every run, (runs, p)."""
    p = a.shape[1]
    for run in range(first, last):
        C, e = np.empty((p + P.shape[0], p + P.shape[0])), np.empty(p + P.shape[0])
        join(Q[run], M[run], P, a[run], e_target, C, e)
        fields_alone(sigma, tau, Q[run], M[run], P, e, out[run])


@shared(_runs)
def many_erf_terms(first, last, tau, Q, M, P, a, e_target, label_noise, out):
    """⟨σ'(λ_i) σ'(λ_j) (ε² + Δ)⟩ of erf students in every run, (runs, p, p)."""
    p = a.shape[1]
    size = p + P.shape[0]
    for run in range(first, last):
        C, e, work = np.empty((size, size)), np.empty(size), np.empty((3, LANES * size))
        join(Q[run], M[run], P, a[run], e_target, C, e)
        for first in range(0, p * (p + 1) // 2, LANES):
            erf_noise_group(tau, C, e, p, label_noise, first, work, out[run])


@shared(_runs)
def many_risks(first, last, sigma, tau, Q, M, P, a, e_target, out):
    """½ ⟨ε²⟩ of every run, (runs,)."""
    p = a.shape[1]
    for run in range(first, last):
        C, e = np.empty((p + P.shape[0], p + P.shape[0])), np.empty(p + P.shape[0])
        join(Q[run], M[run], P, a[run], e_target, C, e)
        out[run] = 0.5 * energy_alone(sigma, tau, Q[run], M[run], P, e)
