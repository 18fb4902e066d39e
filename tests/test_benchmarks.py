"""Benchmarks still run: the cheapest form of each, from its beginning to its end."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import costs, mean_field, overlaps, rank_counts, schedules
from meanfield.kernels.threads import thread_limit

FOLDER = Path(__file__).parent.parent / "benchmarks"

# the arguments of a command that runs in seconds
COMMANDS = {
    "activations": ["relu"],
    "budget": ["1"],
    "calibration": ["--count", "1", "--only", "overlaps"],
    "compiling": ["law erf"],
    "fluctuations": ["200", "erf"],
    "hostile": ["--edits", "3"],
    "orders": ["2000", "erf"],
    "parallel": ["--neurons", "2000", "--t-end", "0.5"],
    "risk_band": ["2"],
    "sgd": ["2"],
    "studies": ["--runs", "2", "--rounds", "1", "--workers", "1"],
}
# whose shortest command takes longer: what they are made of is run below
IN_PARTS = {"costs", "mean_field", "overlaps", "rank_counts", "schedules"}
# `kills` and `phases` are made of what tests/parallel and tests/physics run; `report` runs others
ELSEWHERE = {"__init__", "baselines", "kills", "machine", "phases", "report", "truth"}


def test_none_is_left_out():
    modules = {path.stem for path in FOLDER.glob("*.py")}
    assert modules == {*COMMANDS, *IN_PARTS, *ELSEWHERE}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_commands(name):
    command = [sys.executable, "-m", f"benchmarks.{name}", *COMMANDS[name]]
    ended = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert any(letter.isdigit() for letter in ended.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("dim", ["inf", "10"])
def test_mean_field_in_parts(dim, capsys):
    baseline = None if importlib.util.find_spec("jax") is None else 50
    mean_field.one_line("erf", 1, float(dim), 500, baseline, 16, None, 1e9)
    words = capsys.readouterr().out.split()
    assert len(words) == (14 if baseline else 11)
    assert float(words[-1]) < 1e-9


def called_once(call):
    call()
    return 1.0


@pytest.mark.slow
def test_overlaps_in_parts(capsys, monkeypatch):
    monkeypatch.setattr(overlaps, "best", called_once)
    overlaps.compare(4, False)
    overlaps.compare(4, True)
    overlaps.wide("relu", 32)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all(float(line.split()[-1]) < 1e-12 for line in lines[:2])


@pytest.mark.slow
def test_schedules_in_parts(capsys, monkeypatch):
    monkeypatch.setattr(schedules, "STEPS", 500)
    schedules.main(1)
    assert len(capsys.readouterr().out.splitlines()) == len(schedules.CASES) * 10


@pytest.mark.slow
def test_costs_in_parts(monkeypatch):
    monkeypatch.setattr(costs, "REPEATS", 1)
    with thread_limit(1):
        seconds, _ = costs.ready("pairs", "erf", 1, 100)
        assert seconds > 0.0
        assert len(costs.line("slices", "gelu", 2, 100, 200)) == 2
        assert len(costs.laid("gelu", 2, dim=1000).directions) > 1


@pytest.mark.slow
def test_rank_counts_in_parts():
    assert rank_counts.compare("erf, k = 1", 200, 0.5, 0).startswith("neurons ")
