"""Random edits of a store are found equal, missing, or refused by name; never anything else."""

import random

import pytest

from benchmarks.hostile import outcome, wrong
from meanfield import storage
from meanfield.studies import read_results
from tests.studies.small import small


@pytest.mark.parametrize("sealed", [False, True])
def test_random_edits(tmp_path, sealed):
    """A few; `python -m benchmarks.hostile` makes a thousand."""
    original, rng = tmp_path / "original", random.Random(4)
    small(replicas=1).run(store=original)
    read_results(original).text()
    for _ in range(100):
        what, said = outcome(tmp_path / "edited", rng, original, sealed=sealed)
        assert not wrong(what), (what, said)


@pytest.mark.parametrize("version", ["../../x", {}, None, 1e300])
def test_a_version_of_no_kind_is_named(tmp_path, version):
    path = tmp_path / "file.npz"
    storage.write_archive(path, "kind", {"format_version": version}, {})
    with pytest.raises(ValueError, match=r"file\.npz is damaged: its format_version"):
        storage.read_archive(path, "kind")
