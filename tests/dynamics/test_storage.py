"""A solution comes back equal, or not at all."""

import json
import math
import os
import zipfile

import numpy as np
import pytest

import meanfield as mf
from meanfield import storage
from meanfield.dynamics.export import SOLUTION_FORMAT
from meanfield.dynamics.solution import Solution
from meanfield.dynamics.state_series import StateSeries

T, N, P, K, D, RUNS = 3, 4, 2, 2, 5, 2


def series(kind, runs=False):
    rng = np.random.default_rng(0)
    shape = (RUNS, T) if runs else (T,)
    fields = {
        "ParticleMeasure": ({"a": (N,), "u": (N, K), "r": (N,)}, {}),
        "Overlaps": ({"Q": (P, P), "M": (P, K)}, {"P": (K, K), "a": (P,)}),
        "Weights": ({"W": (P, D)}, {"W_star": (K, D), "a": (P,)}),
    }[kind]
    varying = {name: rng.random((*shape, *size)) for name, size in fields[0].items()}
    fixed = {name: rng.random(size) for name, size in fields[1].items()}
    if kind == "Overlaps":  # a joint matrix that is positive semi-definite
        fixed["P"], varying["Q"] = np.eye(K), np.broadcast_to(9 * np.eye(P), (*shape, P, P))
    return StateSeries(kind, varying, fixed, shape, {"seed": 3, "scale": 1.0})


def solution(kind="ParticleMeasure", runs=False, dim=math.inf, **changes):
    target = mf.CommitteeTarget(k=K, gram=[[1.0, 0.25], [0.25, 1.0]], noise=0.125)
    arguments = {
        "t": np.array([0.0, 0.1, 1 / 3]),
        "risk": np.random.default_rng(1).random((RUNS, T) if runs else T),
        "states": series(kind, runs),
        "status": "success",
        "message": "reached t = 0.333333",
        "stats": {"rhs_evaluations": 12, "field_error": 1e-9},
        "problem": mf.Problem(target, "relu", dim, learning_rate=0.5),
        "parameters": {"description": "mean field", "rtol": 1e-6, "seed": None},
    }
    return Solution(**(arguments | changes))


@pytest.fixture
def saved(tmp_path):
    return solution().save(tmp_path / "run.meanfield")


@pytest.mark.parametrize("runs", [False, True])
@pytest.mark.parametrize("kind", ["ParticleMeasure", "Overlaps", "Weights"])
def test_loads_equal(tmp_path, kind, runs):
    original = solution(kind, runs, dim=50)
    path = original.save(tmp_path / "run")
    assert path == tmp_path / "run"
    copy = mf.load(path)
    assert copy == original
    assert copy.t.tobytes() == original.t.tobytes()
    assert copy.risk.tobytes() == original.risk.tobytes()
    assert copy.states.origin == original.states.origin
    if not runs:
        assert list(copy.states) == list(original.states)
        assert copy.final.origin == {"seed": 3, "scale": 1.0}
    assert copy.problem.dim == 50 and copy.status is mf.Status.SUCCESS


def test_version_parameters_and_seed_are_inside(saved):
    header, _ = storage.read_archive(saved, SOLUTION_FORMAT)
    assert header["parameters"]["version"] == mf.__version__
    assert header["parameters"]["rtol"] == 1e-6
    assert header["states"]["origin"]["seed"] == 3
    assert mf.load(str(saved)).parameters["version"] == mf.__version__


@pytest.mark.parametrize(
    "stats",
    [
        {"error": math.nan},
        {"error": math.inf, "counts": (1, 2), "nested": {"list": [math.nan, None, True]}},
        {"array": np.array([1.0, math.nan]), "scalar": np.float64(1 / 3), "count": np.int64(7)},
    ],
)
def test_awkward_stats_load_equal(tmp_path, stats):
    original = solution(stats=stats)
    assert mf.load(original.save(tmp_path / "run")) == original


def test_failed_and_empty_runs_load_equal(tmp_path):
    start = {"a": (0, N), "u": (0, N, K), "r": (0, N)}
    states = StateSeries(
        "ParticleMeasure", {m: np.zeros(s) for m, s in start.items()}, {}, (0,), {}
    )
    original = solution(
        t=np.zeros(0), risk=np.zeros(0), states=states, status="diverged", message="at t = 0"
    )
    copy = mf.load(original.save(tmp_path / "run"))
    assert copy == original and copy.status is mf.Status.DIVERGED and not copy.success


def test_saving_over_a_file_replaces_it(saved):
    other = solution(message="again")
    other.save(saved)
    assert mf.load(saved) == other != solution()
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


@pytest.mark.parametrize("failing", ["savez", "replace"])
def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(saved, monkeypatch, failing):
    def full(*_, **__):
        raise OSError("no space left on device")

    module = {"savez": np, "replace": os}[failing]
    with monkeypatch.context() as patch:
        patch.setattr(module, failing, full)
        with pytest.raises(OSError, match="no space left"):
            solution(message="again").save(saved)
    assert mf.load(saved) == solution()
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


def test_file_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        path = solution().save(tmp_path / "run")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.umask(before) == before


def test_missing_places(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        mf.load(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        mf.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        solution().save(tmp_path / "no" / "such" / "folder")
    with pytest.raises(TypeError):
        mf.load(0)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            solution().save(tmp_path / "run")
    finally:
        tmp_path.chmod(0o700)


def test_every_truncation_is_refused(saved):
    content = saved.read_bytes()
    for length in [*range(0, len(content), 37), len(content) - 1]:
        saved.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"run\.meanfield"):
            mf.load(saved)


def test_no_flipped_byte_goes_unnoticed(saved):
    """Either the damage is refused, or it fell where no information is."""
    content, original = saved.read_bytes(), solution()
    refused = 0
    rng = np.random.default_rng(0)
    for place in rng.choice(len(content), 400, replace=False):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        saved.write_bytes(damaged)
        try:
            loaded = mf.load(saved)
        except ValueError:
            refused += 1
        else:
            assert loaded == original, place
    assert refused > 250


def test_an_array_hidden_from_the_zip_directory_is_missed(saved, tmp_path):
    lacking = tmp_path / "lacking"
    with zipfile.ZipFile(saved) as whole, zipfile.ZipFile(lacking, "w") as part:
        for name in whole.namelist():
            if name != "varying.u.npy":
                part.writestr(name, whole.read(name))
    with pytest.raises(ValueError, match="lacking is damaged"):
        mf.load(lacking)


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "foreign"
    path.write_text("t,risk\n0,1\n")
    with pytest.raises(ValueError, match="foreign is truncated, damaged or not a file of this"):
        mf.load(path)
    contents = [
        {"t": np.ones(3)},
        {"header": np.ones(3)},
        {"header": np.frombuffer(b"[1, 2]", dtype=np.uint8)},
        {"header": np.frombuffer(b'{"format": "other"}', dtype=np.uint8)},
        {"header": np.array([{"format": "x"}], dtype=object)},
    ]
    for arrays in contents:
        with path.open("wb") as stream:
            np.savez(stream, **arrays)
        with pytest.raises(ValueError, match="foreign"):
            mf.load(path)
    with path.open("wb") as stream:
        np.save(stream, np.ones(3))
    with pytest.raises(ValueError, match="foreign"):
        mf.load(path)


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_a_file_cannot_run_code(tmp_path):
    path, trace = tmp_path / "foreign", tmp_path / "trace"
    with path.open("wb") as stream:
        np.savez(stream, header=np.array([Payload(trace)], dtype=object))
    with pytest.raises(ValueError, match="foreign"):
        mf.load(path)
    assert not trace.exists()


def rewrite_header(path, change):
    header, arrays = storage.read_archive(path, SOLUTION_FORMAT)
    change(header)
    storage.write_archive(path, SOLUTION_FORMAT, header, arrays)


def edited(path, change):
    """Change the parts of a file as a tool does that knows archives and nothing of this library."""
    with np.load(path) as archive:
        parts = {name: archive[name] for name in archive.files}
    header = json.loads(bytes(parts["header"]))
    change(header, parts)
    parts["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    with path.open("wb") as stream:
        np.savez(stream, **parts)


def half_the_risk(header, parts):
    parts["risk"] = parts["risk"] / 2


def of_format_1(header, parts):
    header["format_version"] = 1
    del parts["seal"]


EDITS = {
    "a word": lambda header, parts: header.update(message="reached t = 0.5"),
    "numbers": half_the_risk,
    "a shape": lambda header, parts: parts.update(risk=parts["risk"][:, None]),
    "a type": lambda header, parts: parts.update(risk=parts["risk"].view(np.int64)),
    "the format": lambda header, parts: header.update(format_version=1),
    "the seal": lambda header, parts: parts.pop("seal"),
    "another seal": lambda header, parts: parts.update(seal=parts["seal"][::-1]),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edited_file_is_refused(saved, edit):
    edited(saved, lambda header, parts: None)
    assert mf.load(saved) == solution()
    edited(saved, edit)
    with pytest.raises(ValueError, match=r"run\.meanfield is damaged.* seal"):
        mf.load(saved)


def test_files_of_the_first_format_are_read(saved):
    edited(saved, of_format_1)
    assert mf.load(saved) == solution()


def test_a_newer_format_says_so(saved):
    rewrite_header(saved, lambda header: header.update(format_version=99))
    with pytest.raises(ValueError, match=r"format 99, by a newer version.*reads up to 2"):
        mf.load(saved)


@pytest.mark.parametrize("part", ["problem", "states", "status", "stats", "parameters", "message"])
def test_a_header_without_a_part_is_refused(saved, part):
    rewrite_header(saved, lambda header: header.pop(part))
    with pytest.raises(ValueError, match=rf"run\.meanfield lacks a part.*{part}"):
        mf.load(saved)


def test_another_kind_of_archive_is_refused(tmp_path):
    path = storage.write_archive(tmp_path / "study", "meanfield-study", {}, {"x": np.ones(2)})
    with pytest.raises(ValueError, match="does not hold a meanfield-solution"):
        mf.load(path)
    header, arrays = storage.read_archive(path, "meanfield-study")
    assert header["format"] == "meanfield-study" and (arrays["x"] == 1).all()


def test_what_json_cannot_hold_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(TypeError, match="cannot store function in a header"):
        solution(stats={"f": lambda: None}).save(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
