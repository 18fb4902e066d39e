"""The linear theory of fluctuations errs at the power of η that it says."""

import pytest

from benchmarks.orders import CASES, measure, slopes


@pytest.mark.slow
def test_errors_fall_with_eta():
    """Relative errors of the spread and of the bias, at η = 1/3 and 1/12."""
    found = [measure(CASES["erf"], d, 100_000) for d in (6, 24)]
    (spread, half), (bias, wide) = slopes(found)["spread"], slopes(found)["bias"]
    assert half < 0.5 and spread == pytest.approx(1.0, abs=0.45)
    assert bias == pytest.approx(1.0, abs=max(0.6, 1.5 * wide))
    # and they are errors: what was computed is not what is seen at η = 1/3
    assert found[0].spread < -3.0 * found[0].spread_error
    assert found[0].bias > 3.0 * found[0].bias_error
