"""What the error of a field at several times says of a run."""

import math

import numpy as np

import meanfield as mf
from meanfield.dynamics.accuracy import final_status
from meanfield.dynamics.particles.field_checks import Check, estimate_of_velocities, slowest
from meanfield.fields.pairs.closed import PairField


def verdict(checks, message):
    return final_status(
        mf.Status.SUCCESS, message, {}, 1e-6, estimate_of_velocities(checks, 1e-6, 1e-6)
    )


def test_an_error_that_grows_as_velocities_fade():
    """Held against a run where they grow again, said where they only fade."""
    start, faded = Check(0.0, 1e-8), Check(9.0, 1e-3, 1e-4)
    status, message = verdict([start, faded], "reached t = 9")
    assert status == "success" and "good to 1e-03" in message and "t = 9" in message
    plateau = Check(4.0, 1e-3, 0.7)
    status, message = verdict([start, plateau], "reached t = 9")
    assert status == "inaccurate" and "1.0e-03 at t = 4" in message
    assert verdict([start], "done") == ("success", "done")
    assert slowest(np.array([1.0, 0.01, 2.0]), (1.0, 3.0)) == 1
    assert slowest(np.array([1.0, 0.5, 2.0]), (1.0, 3.0)) is None


def test_a_run_is_looked_at_where_its_neurons_nearly_stand(monkeypatch):
    """At its start, its end, and the saved state before which they moved least."""
    problem = mf.Problem(mf.CommitteeTarget(k=1), "erf", math.inf)
    seen, real = [], PairField.error_estimate

    def noted(self, measure):
        seen.append(float(measure.u.max()))
        return real(self, measure)

    monkeypatch.setattr(PairField, "error_estimate", noted)
    start = mf.ParticleMeasure([1.0], [[1e-6]], [1.0])
    monkeypatch.setattr("meanfield.dynamics.particles.flow.slowest", lambda speeds, ends: 3)
    run = mf.solve_mean_field(problem, start, 2.0, save_at=5)
    assert seen[0] == 1e-6 and seen[1] == run.final.u.max() and seen[2] == run.states[3].u.max()
    assert run.success and run.stats["field_error"] < 1e-6
