"""Problems and measures that the tests of the field share."""

from __future__ import annotations

import math

import numpy as np

import meanfield as mf
from tests.reference import mean_field as twin

ACTIVATIONS = ("erf", "relu", "square")
DIMENSIONS = (1, 2, 5, 9, 99, 999, 10**6, math.inf)
SCALES = (0.1, 1.0, 3.0)
GRAMS = {
    1: [[1.3]],
    2: [[1.0, 0.5], [0.5, 0.8]],
    3: [[1.0, 0.3, 0.0], [0.3, 1.0, -0.4], [0.0, -0.4, 0.7]],
}


def make_problem(sigma="erf", tau="erf", *, k=1, D=9, kappa=1.0, gram=None, weights=None):
    """A problem with D perpendicular directions, a Gram matrix that is not the identity."""
    gram = GRAMS[k] if gram is None else gram
    weights = np.linspace(1.4, 0.6, k) if weights is None else weights
    target = mf.CommitteeTarget(k=k, activation=tau, gram=gram, weights=weights)
    return mf.Problem(target, sigma, D + target.rank, second_layer_rate=kappa)


def make_measure(k, n=200, scale=1.0, seed=0):
    """Neurons all over the plane, with weights of both signs."""
    rng = np.random.default_rng(seed)
    return mf.ParticleMeasure(
        rng.uniform(-0.7, 1.5, n),
        scale * rng.standard_normal((n, k)),
        scale * np.abs(rng.standard_normal(n)),
    )


def settle(field, measure):
    """Another layout where neurons have outgrown the one there is, as a run asks after a step."""
    with np.errstate(over="ignore"):
        while field.outgrown(*measure.arrays()) and field.grow(*measure.arrays()):
            pass


def velocity(field, measure):
    """da, du, dr of a field as new arrays; NaN where it writes nothing."""
    settle(field, measure)
    out = [np.full_like(part, np.nan) for part in measure.arrays()]
    field.velocity(*measure.arrays(), *out)
    return out


def allowed(sigma):
    """What the right-hand side may be off by."""
    return 1e-5 if sigma == "relu" else 1e-8


def relative_errors(field, problem, measure):
    """Relative error of da, du and dr, each as a vector, and of the risk against R + E f².

    What vanishes by symmetry is measured against 1e-5: sums of a few hundred terms leave 1e-14 of
    it, and how they are rounded is the processor's.
    """
    expected = twin.flow(problem, measure.a, measure.u, measure.r)
    found = velocity(field, measure)
    errors = [
        float(np.linalg.norm(mine - theirs) / max(np.linalg.norm(theirs), 1e-5))
        for mine, theirs in zip(found, (expected.da, expected.du, expected.dr), strict=True)
    ]
    risk = field.risk(*measure.arrays())
    size = expected.risk + expected.variance_parts[1]
    return [*errors, abs(risk - expected.risk) / size]
