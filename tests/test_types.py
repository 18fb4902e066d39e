"""What a type checker makes of a user's code: `mypy tests/test_types.py` reads this file."""

from typing import assert_type

import numpy as np
from numpy.typing import NDArray

import meanfield as mf


def test_states_of_a_run_have_the_kind_that_went_in() -> None:
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=50, learning_rate=0.5)

    law = mf.solve_mean_field(problem, mf.gaussian_measure(problem, n=5), 0.1, save_at=2)
    assert_type(law.final, mf.ParticleMeasure)
    assert_type(law.states[0], mf.ParticleMeasure)
    assert_type(law.states[:1][0].u, NDArray[np.float64])
    assert isinstance(law.final, mf.ParticleMeasure) and isinstance(law.risk, np.ndarray)

    ode = mf.solve_overlaps(problem, mf.gaussian_overlaps(problem, p=2), 0.1, save_at=2)
    assert_type(ode.final, mf.Overlaps)
    assert_type(ode.at(0.05), mf.Overlaps)
    assert isinstance(ode.states[0], mf.Overlaps)

    runs = mf.simulate_sgd(problem, mf.gaussian_overlaps(problem, p=2), 0.1, runs=2)
    assert len(runs.final) == len(runs.states) == 2
