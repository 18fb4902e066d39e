"""Nothing is lost on disk: whole files, named errors, the rest intact."""

import errno
import fcntl
import io
import json
import os
import random
import resource
import signal
import sys
import zipfile
from contextlib import contextmanager, suppress
from dataclasses import replace

import numpy as np
import pytest

import meanfield as mf
from meanfield import storage
from meanfield.dynamics.sgd.runs import LawRuns
from meanfield.studies import SerialExecutor, read_results
from meanfield.studies.store import Store
from tests.studies.small import same, small

pytestmark = pytest.mark.usefixtures("interrupted_results")


@pytest.fixture
def folder(tmp_path):
    """A store with a finished study in it."""
    small().run(store=tmp_path / "store")
    return tmp_path / "store"


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_is_there_afterwards(folder):
    study = small()
    assert len(files(folder)) == 1 + len(study.runs)
    described = json.loads((folder / "study.json").read_text())
    assert described["hash"] == study.hash and described["version"] == mf.__version__
    assert mf.Study(**described["study"]) == study
    assert same(read_results(folder), study.run())


def test_a_finished_study_makes_no_run(folder, monkeypatch):
    monkeypatch.setattr("meanfield.studies.engine.make_run", None)
    before = [path.stat().st_mtime_ns for path in files(folder)]
    assert small().run(store=folder).complete
    assert [path.stat().st_mtime_ns for path in files(folder)] == before


def test_missing_runs_are_made_and_the_others_kept(folder):
    runs = small().runs
    Store(folder).path(runs[2].key).unlink()
    assert read_results(folder).counts == {"success": 5, "missing": 1}
    made = []
    results = small().run(store=folder, callback=lambda step: made.append(step.record.key))
    assert made == [runs[2].key]
    assert same(results, small().run())


def test_another_study_needs_to_be_told(folder):
    larger = small(replicas=3, name="larger")
    before = [path.read_bytes() for path in files(folder)]
    with pytest.raises(ValueError, match=r"holds another study, 'study'.*'larger'.*extend"):
        larger.run(store=folder)
    assert [path.read_bytes() for path in files(folder)] == before
    made = []
    results = larger.run(store=folder, extend=True, callback=lambda step: made.append(step))
    assert results.complete and len(made) == 3
    assert read_results(folder).study == larger
    assert same(results, larger.run())


@pytest.mark.parametrize("damage", ["cut", "foreign", "swapped", "empty", "other kind"])
def test_a_damaged_or_foreign_file_is_named_and_left_alone(folder, damage):
    store, runs = Store(folder), small().runs
    path, other = store.path(runs[1].key), store.path(runs[2].key)
    content = {
        "cut": path.read_bytes()[:-100],
        "foreign": b"t,risk\n0,1\n",
        "swapped": other.read_bytes(),
        "empty": b"",
        "other kind": storage.write_archive(folder / "x", "a kind", {}, {}).read_bytes(),
    }[damage]
    path.write_bytes(content)
    for call in (lambda: small().run(store=folder), lambda: read_results(folder)):
        with pytest.raises(ValueError, match="remove it and the run will be made again") as caught:
            call()
        assert str(path) in str(caught.value)
    assert path.read_bytes() == content and store.read(runs[2].key).made
    path.unlink()
    assert same(small().run(store=folder), small().run())


def test_results_of_another_version_are_not_mixed_in_but_can_be_read(folder, monkeypatch):
    monkeypatch.setattr("meanfield.studies.store.__version__", "9.9.9")
    with pytest.raises(ValueError, match=r"runs.*made by version .*, this is 9\.9\.9"):
        small().run(store=folder)
    assert read_results(folder).complete


def test_a_failure_does_not_replace_what_another_process_made(tmp_path):
    study = small(start={"law": "tests.studies.small:fragile", "n": 8}, replicas=1)
    key, good = study.runs[1].key, small(replicas=1).run().records[1]
    made = replace(good, key=key, parameters=study.runs[1].parameters)

    class Late(SerialExecutor):
        """Looks at the store before, and runs after, somebody else did."""

        def submit(self, fn, task):
            future = super().submit(fn, task)
            if task.key == key:
                Store(tmp_path).write(made)
            return future

    results = study.run(Late(), tmp_path)
    assert results.complete and read_results(tmp_path).complete


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"format": "other"}', '{"format": "meanfield-study"}']
)
def test_a_damaged_specification_is_named(folder, text):
    (folder / "study.json").write_text(text)
    for call in (lambda: small().run(store=folder), lambda: read_results(folder)):
        with pytest.raises(ValueError, match=r"study\.json is damaged or not"):
            call()


def test_reading_imports_nothing(tmp_path, monkeypatch):
    """A folder from elsewhere may name any module; looking at it must not run that."""
    module = tmp_path / "lying_about.py"
    module.write_text("raise SystemExit('I was imported')")
    small(observables=["risk", "tests.studies.small:final_length"]).run(store=tmp_path / "store")

    def lie(described):
        described["study"]["observables"][1] = "lying_about:f"

    rewritten(tmp_path / "store" / "study.json", lie, seal=True)
    monkeypatch.syspath_prepend(tmp_path)
    results = read_results(tmp_path / "store")
    assert results.complete and "lying_about" not in sys.modules
    assert results.array("final_length").shape == (3, 2)


def test_a_study_read_from_a_folder_can_be_run(folder, tmp_path):
    study = read_results(folder).study
    assert study == small() and study.parameters() == small().parameters()
    assert same(study.run(store=tmp_path / "elsewhere"), small().run())


def test_no_store(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"study\.json"):
        read_results(tmp_path)
    taken = tmp_path / "taken"
    taken.write_text("here first")
    with pytest.raises(OSError, match="taken"):
        small().run(store=taken)


def test_a_full_disk_stops_the_study_and_names_the_file(tmp_path, monkeypatch):
    savez, written = np.savez, []

    def savez_until_full(stream, **arrays):
        if len(written) == 3:
            stream.write(b"half of it")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(stream)
        savez(stream, **arrays)

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", savez_until_full)
        with pytest.raises(OSError, match=r"cannot write: No space left on device.*\.npz") as error:
            small().run(store=tmp_path)
    assert error.value.errno == errno.ENOSPC
    assert read_results(tmp_path).counts == {"success": 3, "missing": 3}
    assert len(files(tmp_path)) == 4  # nothing half-written
    assert same(small().run(store=tmp_path), small().run())


def test_a_limit_on_the_size_of_files(tmp_path):
    """A real write that fails half-way, as on a full disk."""
    store = Store(tmp_path)
    store.open(small(), extend=False)
    record = small(grid={}, replicas=1).run().records[0]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))
    try:
        with pytest.raises(OSError, match=r"cannot write: File too large.*\.npz"):
            store.write(record)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(files(tmp_path)) == 1
    store.write(record)
    assert store.read(record.key).made


def test_a_read_only_folder_is_known_before_any_run(folder, monkeypatch):
    def refused(function, tasks, executor):
        raise AssertionError("a run was made")

    monkeypatch.setattr("meanfield.studies.engine.as_they_finish", refused)
    Store(folder).path(small().runs[0].key).unlink()
    folders = [folder, folder / "runs", folder / "checkpoints"]
    root = os.geteuid() == 0
    for path in folders:
        path.chmod(0o555)
    if root:  # root may write anywhere: be somebody else meanwhile
        for path in (folder.parent, *folder.parents):
            if path.stat().st_mode & 0o5 != 0o5:
                path.chmod(path.stat().st_mode | 0o5)
        os.seteuid(65534)
    try:
        for study in (small(), small(replicas=3)):
            with pytest.raises(PermissionError, match="store"):
                study.run(store=folder, extend=True)
    finally:
        if root:
            os.seteuid(0)
        for path in folders:
            path.chmod(0o755)


def test_leftovers_of_the_dead_are_cleared_at_the_next_start(folder):
    """However young they are; what a living process is writing stays, however old."""
    theirs = folder / ".notes.markdown"
    theirs.write_text("of another program")
    mine, orphans = folder / "runs" / ".a.npz.12345678", [
        folder / "checkpoints" / ".b.abcdefgh", folder / ".study.json.abcdefgh",
    ]  # fmt: skip
    for path in (mine, *orphans):
        path.write_bytes(b"x")
    os.utime(mine, (0, 0))
    with mine.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        small().run(store=folder)
        assert mine.exists() and not any(path.exists() for path in orphans)
    small().run(store=folder)
    assert theirs.exists() and not mine.exists()


def test_a_record_carries_what_made_it(folder):
    record = read_results(folder).records[0]
    assert record.parameters["solver"]["rtol"] == 1e-6
    assert record.parameters["seeds"] == small().runs[0].parameters["seeds"]
    assert record.versions["meanfield"] == mf.__version__ and record.versions["numpy"]
    assert record.stats["field_error"] < 1e-8 and record.seconds > 0
    again = mf.solve_mean_field(
        (problem := mf.Problem(mf.CommitteeTarget(k=1), dim=10)),
        mf.gaussian_measure(problem, 8, seed=record.parameters["seeds"][0]),
        0.2,
        save_at=3,
    )
    assert np.array_equal(record.arrays["risk"], again.risk)


def steep(x):
    return np.tanh(small_slope[0] * x)


small_slope = np.array([1.0])


def test_a_store_does_not_resume_under_a_changed_function(tmp_path, monkeypatch):
    own = mf.Problem(mf.CommitteeTarget(k=1), steep)
    study, larger = (small(problem=own, replicas=n, grid={}) for n in (1, 2))
    study.run(store=tmp_path)
    assert study.run(store=tmp_path).complete
    monkeypatch.setitem(globals(), "small_slope", np.array([2.0]))
    for again in (study, larger):
        with pytest.raises(
            ValueError, match=r"function tests\.studies\.test_store:steep was anoth"
        ):
            again.run(store=tmp_path, extend=True)
    for path in (tmp_path / "runs").iterdir():
        path.unlink()
    found = larger.run(store=tmp_path, extend=True)
    assert found.complete and same(found, larger.run())


def narrow(problem, n=20, seed=0):
    return mf.gaussian_measure(problem, n, scale=float(small_slope[0]), seed=seed)


def reduced(solution):
    return small_slope[0] * solution.risk[-1]


@pytest.mark.parametrize(
    ("part", "name"),
    [({"start": {"law": f"{__name__}:narrow"}}, "narrow"), ({"observables": [reduced]}, "reduced")],
)
def test_nor_under_a_changed_law_or_reducer(tmp_path, monkeypatch, part, name):
    study, larger = (small(replicas=n, grid={}, **part) for n in (1, 2))
    first = study.run(store=tmp_path)
    assert first.complete and study.run(store=tmp_path).complete
    monkeypatch.setitem(globals(), "small_slope", np.array([2.0]))
    for again in (study, larger):
        with pytest.raises(ValueError, match=f"test_store:{name} was another"):
            again.run(store=tmp_path, extend=True)


def test_a_relative_store_is_found_wherever_workers_are(tmp_path, monkeypatch):
    """A task names whole paths, and a change of folder between two runs changes nothing."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)

    class Elsewhere(SerialExecutor):
        def submit(self, fn, /, task):
            os.chdir(tmp_path / "here")
            assert task.checkpoint.parent.is_dir() and task.claim.parent.is_dir()
            return super().submit(fn, task)

    assert small().run(Elsewhere(), "store").complete
    assert read_results(tmp_path / "store").complete


def interrupted_long_run(folder, monkeypatch, **changes):
    """A study of one run of SGD that has left a checkpoint, and the study undisturbed."""
    study = small(**(LONG | changes))
    expected = study.run()
    advance, calls = LawRuns.advance, []

    def struck(self, steps, rates):
        calls.append(steps)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return advance(self, steps, rates)

    with monkeypatch.context() as patch:
        patch.setattr(LawRuns, "advance", struck)
        assert study.run(store=folder).counts == {"missing": 1}
    (checkpoint,) = (folder / "checkpoints").iterdir()
    return study, expected, checkpoint


LONG = {
    "problem": {"target": {"k": 1}, "dim": 10, "learning_rate": 0.5},
    "start": {"law": "gaussian_overlaps", "p": 2},
    "solver": {"description": "sgd", "t_end": 1e4, "save_at": 3},
    "grid": {}, "replicas": 1,
}  # fmt: skip


def test_a_run_that_fails_keeps_its_checkpoint(tmp_path, monkeypatch):
    study, expected, checkpoint = interrupted_long_run(tmp_path, monkeypatch)

    def fail(self, steps, rates):
        raise MemoryError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(LawRuns, "advance", fail)
        results = study.run(store=tmp_path)
    assert results.counts == {"failed": 1} and "no room" in results.records[0].message
    assert checkpoint.exists()
    steps, advance = [], LawRuns.advance
    monkeypatch.setattr(
        LawRuns, "advance", lambda self, n, rates: steps.append(n) or advance(self, n, rates)
    )
    assert same(study.run(store=tmp_path, retry=True), expected)
    whole = expected.records[0].stats["steps"]
    assert sum(steps) < whole and not checkpoint.exists()


def test_a_damaged_checkpoint_is_set_aside_and_said(tmp_path, monkeypatch):
    study, expected, checkpoint = interrupted_long_run(tmp_path, monkeypatch)
    content = checkpoint.read_bytes()[:-50]
    checkpoint.write_bytes(content)
    (record,) = study.run(store=tmp_path).records
    (aside,) = (tmp_path / "checkpoints").iterdir()
    assert aside.read_bytes() == content and str(aside) in record.message
    assert np.array_equal(record.arrays["risk"], expected.records[0].arrays["risk"])


EDITS = {
    "replicas": lambda d: d["study"].update(replicas=10**9),
    "fewer replicas": lambda d: d["study"].update(replicas=1),
    "a grid of nothing": lambda d: d["study"].update(grid={"problem.dim": 7}),
    "a larger grid": lambda d: d["study"]["grid"].update({"start.n": [1] * 1000}),
    "a key that climbs": lambda d: d["runs"][0].update(key="../../" + d["runs"][0]["key"][6:]),
    "a key of no kind": lambda d: d["runs"][0].update(key=7),
    "an index too far": lambda d: d["runs"][0].update(index=[0, 9]),
    "an index of words": lambda d: d["runs"][0].update(index=["a", "b"]),
    "an index too short": lambda d: d["runs"][0].update(index=[0]),
    "seeds": lambda d: d["runs"][0].update(seeds=None),
    "a run of no kind": lambda d: d.update(runs=[1]),
    "no runs": lambda d: d.update(runs=[]),
    "runs alike": lambda d: d["runs"].append(d["runs"][0]),
    "a study of no kind": lambda d: d.update(study=[]),
    "a name of no kind": lambda d: d["study"].update(name=3),
    "observables": lambda d: d["study"].update(observables=[1]),
    "a version of no kind": lambda d: d.update(format_version="1"),
    "independent": lambda d: d["study"].update(independent=1),
}


def rewritten(path, edit, seal):
    """Edit a specification; with its seal made anew, as by somebody who means to deceive."""
    described = json.loads(path.read_text())
    edit(described)
    if seal:
        described.pop("seal")
        described["seal"] = storage.seal_of_text(json.dumps(described, sort_keys=True))
    path.write_text(json.dumps(described))


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edited_specification_is_named(folder, edit):
    path = folder / "study.json"
    rewritten(path, edit, seal=True)
    with pytest.raises(ValueError, match=r"study\.json is damaged or not") as caught:
        read_results(folder)
    assert "seal" not in str(caught.value)


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d["study"].update(name="another"),
        lambda d: d["study"]["grid"]["problem.dim"].reverse(),
        lambda d: d.update(format_version=1),
        lambda d: d.pop("seal"),
    ],
)
def test_a_specification_that_reads_well_is_known_by_its_seal(folder, edit):
    rewritten(folder / "study.json", lambda d: None, seal=False)
    assert read_results(folder).complete  # another layout is not another study
    rewritten(folder / "study.json", edit, seal=False)
    with pytest.raises(ValueError, match=r"study\.json is damaged or not.*seal is broken"):
        read_results(folder)


def test_folders_of_the_first_format_are_read_and_gone_on_with(folder):
    def without_seal(described):
        del described["seal"]
        described["format_version"] = 1

    expected = read_results(folder)
    rewritten(folder / "study.json", without_seal, seal=False)
    assert same(read_results(folder), expected)
    assert same(small().run(store=folder), expected)


def test_deep_nesting_is_named(folder):
    (folder / "study.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"study\.json is damaged or not"):
        read_results(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"status": "missing"}, {"status": "taken"}, {"status": 3}, {"stats": []}, {"seconds": "1"},
        {"versions": {"meanfield": 1}}, {"message": None}, {"run": []}, {"traceback": 1},
        {"run": {"seeds": [1, 2]}}, {"stats": {"field_error": "small"}},
        {"stats": {"field_error": True}},
    ],
)  # fmt: skip
def test_an_edited_header_is_named(folder, change):
    path = Store(folder).path(small().runs[1].key)
    header, arrays = storage.read_archive(path, "meanfield-run")
    storage.write_archive(path, "meanfield-run", header | change, arrays)
    with pytest.raises(ValueError, match="remove it and the run will be made again") as caught:
        read_results(folder)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "risk", [np.float64(1.0), np.zeros(2), np.zeros((3, 1)), np.zeros(3, "S1")]
)
def test_an_array_of_another_shape_is_named(folder, risk):
    path = Store(folder).path(small().runs[1].key)
    header, arrays = storage.read_archive(path, "meanfield-run")
    storage.write_archive(path, "meanfield-run", header, arrays | {"risk": risk})
    with pytest.raises(
        ValueError, match=r"risk must have 3 times|risk must hold numbers"
    ) as caught:
        read_results(folder)
    assert str(path) in str(caught.value)


def test_a_file_takes_no_more_memory_than_it_has_bytes(folder):
    """Neither packed parts, nor a shape of which the numbers are not there."""
    path = Store(folder).path(small().runs[1].key)
    header, arrays = storage.read_archive(path, "meanfield-run")
    text = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    np.savez_compressed(path, header=text, **arrays | {"risk": np.zeros(10**6)})
    with pytest.raises(ValueError, match="parts are larger than the file"):
        read_results(folder)
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "<f8", "fortran_order": False, "shape": (5 * 10**9,)}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.npy", stream.getvalue())
    with pytest.raises(ValueError, match="not as large as its shape"):
        read_results(folder)


def test_runs_that_are_too_unlike_are_no_array(folder):
    for run, shape in zip(small().runs, [(1, 2000), (2000, 1)], strict=False):
        path = Store(folder).path(run.key)
        header, arrays = storage.read_archive(path, "meanfield-run")
        del header["arrays"]
        storage.write_archive(path, "meanfield-run", header, arrays | {"wide": np.zeros(shape)})
    with pytest.raises(ValueError, match="too unlike"):
        read_results(folder).array("wide")


def test_bits_that_flip_are_named_or_change_nothing(folder):
    path, rng = Store(folder).path(small().runs[1].key), random.Random(3)
    content, expected = path.read_bytes(), read_results(folder)
    for _ in range(150):
        changed = bytearray(content)
        for _ in range(rng.choice([1, 1, 30])):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        with suppress(Named), named(path):
            assert same(read_results(folder), expected)


class Named(Exception):
    """A ValueError that names the file it is about."""


@contextmanager
def named(path):
    try:
        yield
    except ValueError as error:
        if str(path) in str(error):
            raise Named from error
        raise
