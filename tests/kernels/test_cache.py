"""The library can be imported, and runs, where compiled code can be kept nowhere."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.waiting import PATIENCE

CODE = """
import numba.core.caching as caching
named = getattr(caching, "UserProvidedCacheLocator", None) or caching._UserProvidedCacheLocator
for implementation in (caching.CodeLibraryCacheImpl, caching.CompileResultCacheImpl):
    # neither the library's folder nor the user's can be written to: what is left is a folder named
    implementation._locator_classes = [named]
import meanfield as mf
print(mf.CommitteeTarget(k=1).rank)
"""


def test_import_where_nothing_can_be_written():
    environment = {name: v for name, v in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1\n"
    assert done.stderr.count("NUMBA_CACHE_DIR") == 1


CALLEE = """
from meanfield.kernels.options import serial


@serial
def number():
    return {number}
"""
CALLER = """
from meanfield.kernels.callee import number
from meanfield.kernels.options import serial


@serial
def twice():
    return 2.0 * number()
"""


def test_a_kernel_is_compiled_again_when_one_that_it_calls_was_changed(tmp_path):
    """Its own file did not change, and numba looks at that alone."""
    kernels = tmp_path / "meanfield" / "kernels"
    source = Path(__file__).parent.parent.parent / "meanfield" / "kernels"
    shutil.copytree(source, kernels, ignore=shutil.ignore_patterns("__pycache__"))
    (kernels.parent / "__init__.py").touch()
    (kernels / "caller.py").write_text(CALLER, encoding="utf-8")
    code = (
        "from meanfield.kernels.caller import twice\n"
        "print(twice(), *twice.stats.cache_hits.values())"
    )
    environment = {name: v for name, v in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    printed = []
    for number in ("1.0", "1.0", "21.5"):
        text, callee = CALLEE.format(number=number), kernels / "callee.py"
        if not callee.exists() or callee.read_text(encoding="utf-8") != text:
            callee.write_text(text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-B", "-c", code], env=environment, capture_output=True, text=True,
            timeout=PATIENCE, check=True, cwd=tmp_path,
        )  # fmt: skip
        printed.append(done.stdout.split())
    assert printed == [["2.0"], ["2.0", "1"], ["43.0"]], "compiled, found, compiled again"
