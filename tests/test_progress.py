"""The bar is drawn for people and silent for files."""

import sys
from types import SimpleNamespace

import pytest
import tqdm.std

from meanfield.progress import progress_bar


@pytest.fixture
def bars(monkeypatch):
    """What the bars were made with, and how far they got."""
    made = []

    class Recorder:
        def __init__(self, **options):
            self.options, self.n = options, 0.0
            made.append(self)

        def update(self, step):
            self.n += step

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return False

    monkeypatch.setattr(tqdm.std, "tqdm", Recorder)
    monkeypatch.setattr("meanfield.progress.find_spec", lambda name: None)
    return made


def test_hidden_bar_does_nothing(bars):
    with progress_bar(10.0, "run", show=False) as move:
        move(5.0)
    assert bars == []


def test_bar_follows_absolute_positions_and_stops_at_its_total(bars):
    with progress_bar(10.0, "run", show=True) as move:
        for position, expected in ((2.0, 2.0), (7.5, 7.5), (10.3, 10.0)):
            move(position)
            assert bars[0].n == pytest.approx(expected)
    assert bars[0].options["total"] == 10.0
    assert bars[0].options["desc"] == "run"


def test_silent_where_nobody_looks(bars, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    with progress_bar(1.0, "run", show=True):
        pass
    assert bars[0].options["disable"] is True


def test_drawn_in_a_terminal(bars, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress_bar(1.0, "run", show=True):
        pass
    assert bars[0].options["disable"] is False


@pytest.mark.parametrize(("config", "hidden"), [({"IPKernelApp": {}}, False), ({}, True)])
def test_drawn_in_a_notebook_though_it_has_no_terminal(bars, monkeypatch, config, hidden):
    ipython = SimpleNamespace(get_ipython=lambda: SimpleNamespace(config=config))
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    with progress_bar(1.0, "run", show=True):
        pass
    assert bars[0].options["disable"] is hidden


def test_a_real_bar_writes_to_stderr_only(capsys):
    with progress_bar(1.0, "run", show=True) as move:
        move(1.0)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""  # captured streams are no terminal
