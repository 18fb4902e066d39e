"""The main job from the command line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import meanfield as mf
from meanfield.commands import warmup
from meanfield.commands.main import main
from meanfield.storage import read_archive, write_archive
from tests.waiting import PATIENCE

ROOT = Path(__file__).parent.parent.parent
SMALL = ["--dims", "10,20", "40", "80,inf", "-n", "20", "--t-end", "0.5", "--replicas", "1"]


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


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_main_job_goes_on_where_it_was_and_spoils_no_other(tmp_path, capsys):
    command = [*SMALL, "--out", str(tmp_path)]
    assert main(command) == 0
    first = capsys.readouterr().out.partition("\nresults")[0]
    next((tmp_path / "runs").iterdir()).unlink()
    assert main(command) == 0
    again = capsys.readouterr()
    assert "5 runs, 4 of them in the store already" in again.err
    assert again.out.partition("\nresults")[0] == first and "fitted slope" in first
    before = contents(tmp_path)
    assert main([*command, "--t-end", "0.6"]) == 2
    assert "holds another study" in capsys.readouterr().err and contents(tmp_path) == before
    assert main([*command, "--t-end", "0.6", "--extend"]) == 0
    assert mf.load_study(tmp_path).parameters["t_end"] == 0.6


def test_the_main_job_and_its_report(tmp_path, capsys):
    assert main([*SMALL, "--out", str(tmp_path)]) == 0
    table = capsys.readouterr().out.partition("∞\n\n")[2].partition("\n\nresults")[0]
    (tmp_path / "concentration.png").unlink()
    assert main(["report", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert table in text and "5 success" in text
    assert (tmp_path / "concentration.png").stat().st_size > 1000
    assert main(["report", str(tmp_path), "--csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 6


def test_a_report_on_what_has_just_begun(tmp_path, capsys):
    assert main([*SMALL, "--out", str(tmp_path)]) == 0
    runs = sorted((tmp_path / "runs").iterdir())
    for path in runs[1:]:
        path.unlink()
    assert main(["report", str(tmp_path)]) == 1
    assert "note: 4 of 5 runs are not made yet" in capsys.readouterr().out
    header, arrays = read_archive(runs[0], "meanfield-run")
    del header["arrays"]
    write_archive(runs[0], "meanfield-run", header | {"status": "diverged"}, {"t": arrays["t"][:1]})
    assert main(["report", str(tmp_path)]) == 1
    assert "no run of the study reached its end: d = " in capsys.readouterr().out


def test_results_from_before_there_were_stores_are_not_written_over(tmp_path, capsys):
    study = mf.concentration_study(mf.CommitteeTarget(k=1), [10, 20], n=4, t_end=0.1, replicas=1)
    study.save(tmp_path / "concentration.npz")
    before = contents(tmp_path)
    assert main([*SMALL, "--out", str(tmp_path)]) == 2
    assert f"made by version {mf.__version__}" in capsys.readouterr().err
    assert contents(tmp_path) == before


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
    out, error = capsys.readouterr()
    assert error.startswith("error:") and named in error
    assert not out and not list(tmp_path.iterdir())


@pytest.mark.parametrize("dims", ["inf", "10,20,40"])
def test_dimensions_without_a_limit_or_with_nothing_else(tmp_path, capsys, dims):
    assert main([*SMALL, "--dims", dims, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "nan" not in printed.out and "nan" not in printed.err
    assert (tmp_path / "concentration.png").stat().st_size > 1000


def test_a_target_that_keeps_neurons_at_a_saddle_is_explained_first(tmp_path, capsys, monkeypatch):
    def nothing(*arguments, **options):
        raise RuntimeError("not run")

    monkeypatch.setattr("meanfield.commands.main.concentration_study", nothing)
    command = [*SMALL, "--target-activation", "hermite3", "--out", str(tmp_path)]
    assert main(command) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "information exponent 3" in text and "never leave it" in text
    assert main([*command, "--dims", "10,20"]) == 1
    assert "never leave it" not in capsys.readouterr().out
    assert main([*SMALL, "--out", str(tmp_path)]) == 1
    assert "exponent" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "change",
    [["--activation", "swish"], ["--activation", "hermite99"], ["--unknown"], ["-n", "ten"]],
)
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


STUDY = """
name = "from the command line"
observables = ["risk", "energy"]
problem.target.k = 1
start = { law = "gaussian_measure", n = 8 }
solver = { description = "mean_field", t_end = 0.2, save_at = 3 }
grid."problem.dim" = [10, 20]
"""


@pytest.fixture
def study_file(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


def test_a_study_and_its_report(study_file, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["study", str(study_file), "--out", str(out), "--executor", "serial"]) == 0
    printed = capsys.readouterr()
    assert "2 success" in printed.out and str(out) in printed.out and "2/2 runs" in printed.err
    assert main(["report", str(out)]) == 0
    text = capsys.readouterr().out
    assert "from the command line" in text and "energy" in text
    assert (out / "study.png").stat().st_size > 1000
    assert main(["report", str(out), "--csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_study_in_processes_goes_on_where_it_was(study_file, tmp_path, capsys):
    command = ["study", str(study_file), "--out", str(tmp_path / "out"), "--workers", "1"]
    assert main(command) == 0 and main(command) == 0
    assert "2 runs, 2 of them in the store already" in capsys.readouterr().err
    study_file.write_text(STUDY.replace("[10, 20]", "[10, 20, 40]"))
    assert main(command) == 2
    assert "extend" in capsys.readouterr().err
    assert main([*command, "--extend"]) == 0


def test_a_study_with_failures_says_so(study_file, tmp_path, capsys):
    study_file.write_text(STUDY.replace("gaussian_measure", "tests.studies.small:fragile"))
    command = ["study", str(study_file), "--out", str(tmp_path / "out"), "--executor", "serial"]
    assert main(command) == 1
    assert "no start in 20 dimensions" in capsys.readouterr().out
    assert main(["report", str(tmp_path / "out")]) == 1


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (["study", "nothing.toml", "--out", "out"], "nothing.toml"),
        (["study", "study.toml", "--out", "out", "--workers", "0"], "workers"),
        (["study", "study.toml", "--out", "study.toml"], "study.toml"),
        (["report", "nothing"], "nothing"),
    ],
)
def test_unusable_arguments_of_studies(study_file, monkeypatch, capsys, command, named):
    monkeypatch.chdir(study_file.parent)
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("error:") and named in error


@pytest.mark.parametrize("command", [["study"], ["report"], ["study", "--help"]])
def test_usage_of_studies(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(command)
    assert stopped.value.code == (0 if "--help" in command else 2)
    printed = capsys.readouterr()
    assert "python -m meanfield" in printed.out + printed.err


def test_warming_up_names_what_it_compiled(monkeypatch, capsys):
    solves = warmup._solves()
    assert {"mean field, tanh", "overlap equations", "SGD"} < solves.keys()
    kept = ["mean field, erf, k = 1, d = inf", "SGD"]
    monkeypatch.setattr(warmup, "_solves", lambda: {label: solves[label] for label in kept})
    assert main(["warmup"]) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in (*kept, "ready after"))


PNG = b"\x89PNG\r\n\x1a\n"
# root writes where it likes, unless it lets go of this capability
MORTAL = ["setpriv", "--bounding-set", "-dac_override"] if os.geteuid() == 0 else []


@pytest.fixture
def read_only(study_file, tmp_path):
    """A study's folder that cannot be written in, and how to run a command that feels it."""
    out = tmp_path / "out"
    assert main(["study", str(study_file), "--out", str(out), "--executor", "serial"]) == 0
    folders = [out, *(path for path in out.iterdir() if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    if MORTAL and not shutil.which("setpriv"):
        pytest.skip("root may write anywhere, and setpriv is not there to end that")
    touched = subprocess.run([*MORTAL, "touch", str(out / "x")], capture_output=True)
    if touched.returncode == 0:
        pytest.skip("this user may write anywhere")

    def report(*options):
        code = "import sys; from meanfield.commands.main import main as run"
        calls = "; ".join(f"c{i} = run({['report', str(out), *o]})" for i, o in enumerate(options))
        codes = ", ".join(f"c{i}" for i, _ in enumerate(options))
        script = f"{code}; {calls}; sys.exit(str([{codes}]))"
        return subprocess.run(
            [*MORTAL, sys.executable, "-c", script], cwd=ROOT, capture_output=True, timeout=PATIENCE
        )

    before = contents(out)
    yield out, report
    assert contents(out) == before
    for folder in folders:
        folder.chmod(0o755)


def test_a_report_on_a_folder_that_cannot_be_written_to(read_only):
    out, report = read_only
    shown = report([], ["--figure", str(out / "f.png")], ["--html"])
    text, errors = shown.stdout.decode(), shown.stderr.decode()
    assert "2 success" in text and "no figure: " in text and "study.png" in text
    assert "--figure FILE" in text
    assert "f.png" in errors and "report.html" in errors and errors.endswith("[0, 2, 2]\n")
    drawn = report(["--figure", "-"])
    assert drawn.stdout.startswith(PNG) and b"2 success" in drawn.stderr
    assert drawn.stderr.endswith(b"[0]\n")


def test_a_report_elsewhere_and_to_the_standard_output(study_file, tmp_path, capsysbinary):
    out = tmp_path / "out"
    assert main(["study", str(study_file), "--out", str(out), "--executor", "serial"]) == 0
    before = contents(out)
    capsysbinary.readouterr()
    assert main(["report", str(out), "--figure", str(tmp_path / "f.png")]) == 0
    assert (tmp_path / "f.png").read_bytes().startswith(PNG)
    assert b"2 success" in capsysbinary.readouterr().out
    assert main(["report", str(out), "--figure", "-"]) == 0
    printed = capsysbinary.readouterr()
    assert printed.out.startswith(PNG) and printed.out.rstrip().endswith(b"IEND\xaeB`\x82")
    assert b"2 success" in printed.err
    assert main(["report", str(out), "--html", "-"]) == 0
    page = capsysbinary.readouterr().out.decode()
    assert page.startswith("<!doctype html>") and page.endswith("</html>\n")
    assert contents(out) == before
