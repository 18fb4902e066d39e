"""Rules of the house that no linter checks."""

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "meanfield"
MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_stay_below_300_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < 300


def test_importing_the_library_is_light():
    """Matplotlib, POT and tqdm cost a second together: they are imported where they are used."""
    heavy = {"matplotlib", "ot", "tqdm", "pandas", "scipy.optimize", "scipy.stats", "mpi4py"}
    code = f"import sys, meanfield; print({heavy} & set(sys.modules))"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    assert output.stdout.strip() == "set()"


def test_no_function_is_compiled_twice():
    """Two compiled versions of one function would share an entry of the cache on disk."""
    for path in (PACKAGE / "kernels").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for decorator in ("serial", "serial_strict", "_loop"):
            assert f"{decorator}(" not in text or path.name == "options.py", path.name
