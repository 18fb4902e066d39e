"""A run goes on where it was made: on another kind of machine only if it is told to."""

import numpy as np
import pytest

import meanfield as mf
from meanfield.dynamics import checkpoint
from meanfield.studies import read_results
from tests.dynamics.test_checkpoint import solve, stopping
from tests.studies.small import small
from tests.studies.test_store import interrupted_long_run

pytestmark = pytest.mark.usefixtures("interrupted_results")


@pytest.fixture
def elsewhere(monkeypatch):
    """Makes this another machine."""

    def move():
        other = checkpoint.machine() | {"processor": "an abacus"}
        for place in ("dynamics.checkpoint", "studies.run"):
            monkeypatch.setattr(f"meanfield.{place}.machine", lambda: other)

    return move


def test_what_is_known_of_a_machine():
    found = checkpoint.machine()
    assert found["numpy"] == np.__version__ and found["processor"] and "blas" in found["blas"]
    assert checkpoint.differing(found) == [] == checkpoint.differing({})
    assert checkpoint.differing(found | {"threads": "by hand"}) == []
    assert checkpoint.differing(found | {"numba": "0.1"}) == [
        f"numba 0.1 there, {found['numba']} here"
    ]


def test_a_checkpoint_of_another_machine_is_refused_or_used_when_told(
    tmp_path, elsewhere, monkeypatch
):
    path, whole = tmp_path / "run.part", solve("law")
    assert solve("law", path, stopping(4)).status is mf.Status.INTERRUPTED
    elsewhere()
    with pytest.raises(ValueError, match=r"run\.part.*rounds otherwise.*an abacus here.*ANYWHERE"):
        solve("law", path)
    monkeypatch.setenv(checkpoint.ANYWHERE, "1")
    assert solve("law", path) == whole and not path.exists()


def test_a_study_leaves_it_and_starts_again_and_says_where_runs_differ(
    tmp_path, elsewhere, monkeypatch
):
    study, expected, _ = interrupted_long_run(tmp_path, monkeypatch)
    elsewhere()
    (record,) = study.run(store=tmp_path).records
    assert "of another machine was not used" in record.message
    assert np.array_equal(record.arrays["risk"], expected.records[0].arrays["risk"])
    assert record.versions["processor"] == "an abacus"


def test_results_say_where_runs_differ(tmp_path, elsewhere):
    small(replicas=1).run(store=tmp_path)
    assert "differ in their" not in read_results(tmp_path).text()
    elsewhere()
    small(replicas=2).run(store=tmp_path, extend=True)
    assert "note: runs differ in their processor, and so in rounding: an abacus, " in (
        read_results(tmp_path).text()
    )
