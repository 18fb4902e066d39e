"""Regimes of any activation and target, and what a temperature leaves of them."""

import math

import numpy as np
import pytest

import meanfield as mf
from meanfield.regimes import compare, diagnose, four_regimes
from meanfield.regimes.comparison import Setting


@pytest.mark.slow
def test_descriptions_of_a_staircase_learnt_by_tanh_agree():
    """At large d, small γ/p and large p all of them are one curve."""
    problem = mf.Problem(
        mf.targets.staircase(2), "tanh", 4000, learning_rate=1.0, second_layer_rate=1.0,
        weight_decay=0.1,
    )  # fmt: skip
    comparison = compare(problem, 40, 0.5, runs=2, save_at=[0.5], samples=512)
    risks = {name: float(np.mean(sol.risk[..., -1])) for name, sol in comparison.solutions.items()}
    assert set(risks) == {
        "sgd", "overlap_ode", "gradient_flow", "mean_field", "mean_field_infinite",
    }  # fmt: skip
    assert max(risks.values()) - min(risks.values()) < 0.02 * risks["sgd"]


def test_a_temperature_leaves_what_has_it():
    problem = mf.Problem(mf.CommitteeTarget(k=1), "gelu", 100, learning_rate=0.4, temperature=1e-3)
    diagnosis = diagnose(problem, 4)
    assert diagnosis["overlap_ode"].exists
    assert not diagnosis["mean_field_infinite"].exists
    assert "temperature" in str(diagnosis)
    comparison = compare(problem, 4, 0.5, runs=2, save_at=2, samples=64)
    assert set(comparison.solutions) == {"sgd", "overlap_ode", "gradient_flow", "mean_field"}
    infinite = diagnose(problem.at_dim(math.inf), 4)
    assert not any(one.exists for one in infinite.descriptions)
    with pytest.raises(ValueError, match="2τd"):
        compare(problem.at_dim(math.inf), 4, 0.5, descriptions=["overlap_ode"])


@pytest.mark.slow
def test_four_regimes_of_a_multi_index_target():
    one = {"classical": Setting(20, 2, 0.1)}
    found = four_regimes(
        mf.targets.parity(2), "softplus", t_end=0.2, runs=1, times=3, settings=one, samples=64
    )
    assert set(found) == {"classical"}
    with pytest.raises(TypeError, match="target must be a CommitteeTarget or a MultiIndexTarget"):
        four_regimes("parity")
