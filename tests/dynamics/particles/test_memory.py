"""What a run asks after each step, when its memory is full, takes none that grows with neurons."""

import tracemalloc

import numpy as np

import meanfield as mf
from meanfield.dynamics.observables import Measurements
from meanfield.dynamics.particles.flow import ParticleFlow
from meanfield.dynamics.run import Request, Tolerances

FEW, MANY = 1_000, 300_000


def taken_by_looking_after_a_step(n):
    """Largest memory in use meanwhile, in bytes: neurons have outgrown the layout."""
    problem = mf.Problem(mf.CommitteeTarget(k=1), "erf", 1000)
    request = Request.checked(
        1.0, [0.0, 1.0], "ends", Measurements(None), None, None, False, until=None
    )
    start = mf.gaussian_measure(problem, n)
    flow = ParticleFlow(problem, start, request, Tolerances.checked(1e-6, None, "auto"))
    y = 3.0 * flow.start()
    slope = np.zeros_like(y)
    layout = flow.field.layout
    tracemalloc.start()
    flow.watch(y, slope)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert flow.field.layout is not layout  # a wider one
    return taken


def test_looking_for_outgrown_layouts_and_growth_takes_no_memory_for_each_neuron():
    """Not even a number: 10⁷ neurons would notice."""
    beside = taken_by_looking_after_a_step(MANY) - taken_by_looking_after_a_step(FEW)
    assert beside < 0.2 * 8 * MANY
