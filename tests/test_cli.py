"""The main job from the command line."""

import numpy as np
import pytest

import meanfield as mf
from meanfield.cli import main

SMALL = ["--dims", "10,20,40,80,inf", "-n", "20", "--t-end", "0.5", "--replicas", "1"]


def test_the_main_job_writes_its_results_and_says_where(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "new" / "folder"
    assert main([*SMALL, "--out", "new/folder"]) == 0
    text = capsys.readouterr().out
    for name in ("concentration.npz", "concentration.png"):
        assert (out / name).stat().st_size > 1000
        assert str(out / name) in text
    for word in ("risk", "leak", "slope", "∞"):
        assert word in text
    study = mf.load_study(out / "concentration.npz")
    assert list(study.dims) == [10, 20, 40, 80, np.inf]
    assert (study.parameters["n"], study.parameters["t_end"]) == (20, 0.5)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (["--dims", "10,many"], "--dims"),
        (["--dims", "1,10"], "--dims"),
        (["-n", "0"], "n "),
        (["--t-end", "-1"], "t_end"),
        (["-k", "0"], "k "),
        (["--replicas", "0"], "replicas"),
        (["--threads", "0"], "threads"),
    ],
)
def test_bad_arguments(tmp_path, capsys, change, named):
    assert main([*SMALL, "--out", str(tmp_path), *change]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error:") and named in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("change", [["--activation", "tanh"], ["--unknown"], ["-n", "ten"]])
def test_arguments_that_do_not_parse(tmp_path, capsys, change):
    with pytest.raises(SystemExit) as stopped:
        main([*SMALL, "--out", str(tmp_path), *change])
    assert stopped.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_a_folder_that_is_a_file(tmp_path, capsys):
    taken = tmp_path / "taken"
    taken.write_text("here first")
    assert main([*SMALL, "--out", str(taken)]) == 2
    assert "taken" in capsys.readouterr().err


def test_the_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert mf.__version__ in capsys.readouterr().out
