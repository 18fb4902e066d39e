"""A version of numba that is not known: kernels are compiled its own way, and say the same."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import meanfield as mf

ROOT = Path(__file__).parent.parent.parent
LATER = """
import numba
numba.version_info = numba.version_info._replace(short=(99, 0))
from meanfield.kernels import options
assert options.kernel.__module__ == "meanfield.kernels.options"
from tests.kernels.test_plain import risks
print(*(repr(risk) for risk in risks()))
"""


def risks():
    problem = mf.Problem(mf.CommitteeTarget(k=1, noise=0.1), "tanh", 20, 0.5)
    law, start = mf.gaussian_measure(problem, 200), mf.gaussian_overlaps(problem, 2)
    solutions = (
        mf.solve_mean_field(problem, law, 0.5, evaluator="slices"),
        mf.solve_overlaps(problem, start, 0.5),
        mf.simulate_sgd(problem, start, 0.5),
    )
    return [float(np.ravel(solution.risk)[-1]) for solution in solutions]


@pytest.mark.slow
def test_a_numba_that_is_not_known_compiles_kernels_its_own_way(tmp_path):
    process = subprocess.run(
        [sys.executable, "-c", LATER],
        cwd=ROOT, env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}, check=True,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    found = [float(word) for word in process.stdout.split()]
    np.testing.assert_allclose(found, risks(), rtol=1e-9)
