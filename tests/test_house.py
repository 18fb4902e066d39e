"""Rules of the house that no linter checks."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

# What a file name means that several rooms use; a kernel has the name of the module that calls it
SHARED_NAMES = {
    "adagrad": "AdaGrad-norm, of the equations and of SGD",
    "alignment": "the alignment of neurons, and its picture",
    "averages": "what the overlap equations average, for one run or for many",
    "base": "what the classes of a room share",
    "choose": "which way to compute suits a problem",
    "clouds": "neurons as points",
    "concentration": "the concentration study, and its picture",
    "diagram": "the phase diagram, and its picture",
    "drift": "the drift of the overlap equations",
    "field": "an evaluator of the field",
    "flow": "the right-hand side of a description",
    "nodes": "the nodes of a rule, and averages over them",
    "observables": "what is measured along a run",
    "progress": "how far what runs has come",
    "record": "what a run keeps",
    "risk": "the risk of a run, and its picture",
    "run": "what makes one run",
    "simulate": "the public function of a random description",
    "solve": "the public function of a deterministic one",
    "stopping": "how random runs end early",
    "studies": "what the command line and pictures do with studies",
    "units": "the units of a network",
}
PACKAGE = Path(__file__).parent.parent / "meanfield"
MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_stay_below_300_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < 300


def test_a_file_name_has_one_meaning():
    places = {}
    for path in MODULES:
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[-1] not in ("__init__", "__main__"):
            mirrored = PACKAGE.joinpath(*parts[1:]).with_suffix(".py")
            if not (parts[0] == "kernels" and mirrored.exists()):
                places.setdefault(parts[-1], []).append("/".join(parts))
    twice = {name: found for name, found in places.items() if len(found) > 1}
    assert {name: twice[name] for name in twice if name not in SHARED_NAMES} == {}
    assert set(SHARED_NAMES) <= set(twice), "a name that occurs once needs no word here"


def test_paths_of_the_contributors_page_exist():
    """In backticks, of the repository, the package or `dynamics`; Sphinx follows `{doc}` itself."""
    page = (PACKAGE.parent / "docs" / "contributing.md").read_text(encoding="utf-8")
    words = set(re.findall(r"(?<!\{doc\})`([\w./-]+)`", page))
    paths = {word for word in words if "/" in word or word.endswith(".py")}
    places = (PACKAGE.parent, PACKAGE, PACKAGE / "dynamics")
    assert paths
    assert {path for path in paths if not any((each / path).exists() for each in places)} == set()


def test_only_pictures_and_users_modules_are_imported_by_a_name_in_quotes():
    """The import contract reads import statements: a name in quotes would get around it."""
    found = {}
    for path in MODULES:
        calls = path.read_text(encoding="utf-8").count("import_module(")
        if calls:
            found[str(path.relative_to(PACKAGE))] = calls
    # matplotlib takes a second to import; the last is the module of a user's own function
    assert found == {"__init__.py": 1, "dynamics/solution.py": 1, "studies/plain_values.py": 1}


def test_importing_the_library_is_light():
    """Matplotlib, POT and tqdm cost a second together: they are imported where they are used."""
    heavy = {"matplotlib", "ot", "tqdm", "pandas", "mpi4py"}
    heavy |= {f"scipy.{name}" for name in ("fft", "optimize", "sparse", "spatial", "stats")}
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
