"""One small study that several tests look at."""

import math

import pytest

import meanfield as mf


@pytest.fixture(scope="package")
def study():
    return mf.concentration_study(
        mf.CommitteeTarget(k=1),
        [10, 20, 40, 80, 160, math.inf],
        n=200,
        t_end=3.0,
        seed=1,
        replicas=4,
    )
