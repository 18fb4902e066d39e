"""The library can be imported, and runs, where compiled code can be kept nowhere."""

import os
import subprocess
import sys

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
