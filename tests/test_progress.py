"""The bar is drawn for people and silent for files."""

import io
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numba
import pytest
import tqdm.std

from meanfield.progress import LINE, _announcer, progress_bar


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


def compile_a_kernel(module="meanfield.kernels.test"):
    """Compile something that says it is a kernel of the library."""

    def twice(x):
        return x + x

    twice.__module__ = module
    assert numba.njit(twice)(1) == 2


def terminal(monkeypatch, isatty=True):
    """A terminal, or a file, that has not been told of compiling, and what is written there."""
    written = io.StringIO()
    written.isatty = lambda: isatty
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.setattr(_announcer, "ended", -1e9)
    return written


def test_compiling_is_said_in_one_line(monkeypatch):
    stderr = terminal(monkeypatch)
    compile_a_kernel()
    compile_a_kernel()
    assert stderr.getvalue() == LINE


def test_compiling_is_said_in_a_notebook(monkeypatch):
    stderr = terminal(monkeypatch, isatty=False)
    ipython = SimpleNamespace(get_ipython=lambda: SimpleNamespace(config={"IPKernelApp": {}}))
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    compile_a_kernel()
    assert stderr.getvalue() == LINE


def test_compiling_is_silent_where_nobody_looks(monkeypatch):
    stderr = terminal(monkeypatch, isatty=False)
    compile_a_kernel()
    assert stderr.getvalue() == ""


def test_users_functions_are_compiled_without_a_word(monkeypatch):
    stderr = terminal(monkeypatch)
    compile_a_kernel("script")
    assert stderr.getvalue() == ""


def test_compiling_where_errors_cannot_be_written(monkeypatch):
    stderr = terminal(monkeypatch)
    stderr.write = lambda text: stderr.close() or io.StringIO.write(stderr, text)
    compile_a_kernel()


def test_a_bar_says_that_it_is_compiling_and_does_not_count_it(monkeypatch):
    stderr = terminal(monkeypatch)
    with progress_bar(1.0, "run", show=True) as move:
        began = _announcer.bars[-1][0].start_t
        compile_a_kernel()
        assert _announcer.bars[-1][0].start_t > began
        move(0.5)
    drawn = stderr.getvalue()
    assert LINE not in drawn
    assert "run:   0%" in drawn and "compiling, once:   0%" in drawn
    assert drawn.index("compiling, once:   0%") < drawn.rindex("run:   0%")
    assert not _announcer.bars


def test_a_call_that_compiles_says_so(tmp_path):
    """In a fresh cache and a terminal; the second time there is nothing to say."""
    code = (
        "import sys; sys.stderr.isatty = lambda: True\n"
        "import meanfield, numpy\n"
        "from meanfield.kernels.integrate import dots\n"
        "dots(numpy.ones((2, 3)), [0], numpy.ones((1, 3)), 0)\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    for expected in (LINE, ""):
        said = subprocess.run(
            [sys.executable, "-c", code], env=environment, text=True, capture_output=True,
            check=True, cwd=Path(__file__).parents[1],
        ).stderr  # fmt: skip
        assert said == expected
