"""What the documentation shows is run; what it points to is there."""

import ast
import doctest
import importlib
import inspect
import json
import pkgutil
import re
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import meanfield

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(meanfield.__path__, "meanfield.")
    if not module.name.endswith("__main__")
)


def page_name(page):
    return str(page.relative_to(ROOT))


def code_blocks(page):
    """The Python blocks of a page, each padded to its line, so that errors point at it."""
    text = page.read_text(encoding="utf-8")
    fence = r"^( *)```python\n(.*?)^\1```"  # indented inside lists
    for block in re.finditer(fence, text, re.DOTALL | re.MULTILINE):
        yield "\n" * (text[: block.start()].count("\n") + 1) + textwrap.dedent(block[2])


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if any(code_blocks(page))], ids=page_name)
def test_code_on_pages_runs(page, tmp_path, monkeypatch):
    """The blocks of a page run one after another, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    for block in code_blocks(page):
        exec(compile(block, str(page), "exec"), names)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    plt.close("all")
    assert results.failed == 0


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_local_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in link:
            assert (page.parent / link).exists(), link
            # where the documentation is built, notebooks are pages: {doc}`notebooks/...`
            assert page.name == "README.md" or not link.endswith(".ipynb"), link


REFERENCE = re.findall(
    r"^   ((?:[a-z_]+\.)*[A-Za-z_]+)$",
    (ROOT / "docs" / "api" / "index.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)


@pytest.mark.parametrize("name", REFERENCE)
def test_every_name_of_the_reference_has_an_example(name):
    """And a docstring to hold it; `test_examples_in_docstrings` runs them all."""
    thing = importlib.import_module("meanfield")
    for part in name.split("."):
        if not hasattr(thing, part):
            importlib.import_module(f"{thing.__name__}.{part}")
        thing = getattr(thing, part)
    assert "Examples\n" in (inspect.getdoc(thing) or ""), name
    assert ">>> " in inspect.getdoc(thing), name


def test_the_reference_lists_every_public_name():
    listed = {name.rpartition(".")[2] for name in REFERENCE}
    public = {
        name
        for name, thing in vars(meanfield).items()
        if callable(thing) and not name.startswith("_")
    }
    assert public <= listed, public - listed


def test_notebooks_are_kept_without_outputs():
    """Results are rendered when the documentation is built, and stay out of the history."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            assert not cell.get("outputs") and not cell.get("execution_count"), path.name


def test_public_functions_have_examples_parameters_and_errors():
    for name in dir(meanfield):
        thing = getattr(meanfield, name)
        if name.startswith("_") or not callable(thing):
            continue
        text = thing.__doc__ or ""
        assert text, name
        if not isinstance(thing, type) and "times" not in name:
            if inspect.signature(thing).parameters:
                assert "Parameters\n" in text, name
                assert "Raises\n" in text, name
            assert "Returns\n" in text, name


def test_every_room_is_described():
    """The page on the house names all that is in it."""
    text = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
    for entry in sorted((ROOT / "meanfield").iterdir()):
        room = entry.name.removesuffix(".py")
        if entry.name not in ("__init__.py", "__pycache__", "_version.py", "py.typed"):
            assert f"`{room}`" in text, room


def test_the_readme_has_two_commands_of_one_line():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"<!-- command: (\w+) -->\n```sh\n(.*)\n```\n", readme)
    assert [name for name, _ in commands] == ["main", "tests"]
    assert "python -m meanfield" in commands[0][1]
    assert "python -m pytest" in commands[1][1]


def test_the_ten_lines_are_no_more():
    block = next(code_blocks(ROOT / "README.md"))
    lines = [line for line in block.splitlines() if line.strip()]
    assert len(lines) <= 10
    ast.parse(block)


def test_version_is_stated_alike():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {meanfield.__version__}\n" in citation
    assert f"\n## {meanfield.__version__} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def held_by(page):
    """Rows of a page's tables whose last column says which tests hold them."""
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith(("| promise", "| ---")):
            promise, _, tests = line.strip("| ").rpartition(" | ")
            yield promise, tests


def test_every_promise_has_tests_that_are_there():
    rows = list(held_by(ROOT / "docs" / "promises.md"))
    assert len(rows) > 20
    for promise, tests in rows:
        words = re.findall(r"`([^`]+)`", tests)
        assert any(word.startswith("test_") for word in words), promise
        defined = set()
        for word in words:
            if word.startswith("tests/"):
                tree = ast.parse((ROOT / word).read_text(encoding="utf-8"))
                defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
            elif word.startswith("test_"):
                assert word in defined, f"{promise}: no {word}"
            else:
                assert (ROOT / (word.split()[-1].replace(".", "/") + ".py")).exists(), word
