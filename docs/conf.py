"""Sphinx configuration."""

import re
import shutil
import sys
from pathlib import Path

from meanfield import __version__

sys.path.insert(0, str(Path(__file__).parent))  # mathml, beside this file

project = "meanfield"
author = "The meanfield developers"
release = version = __version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "mathml",
]
exclude_patterns = ["_build", "_templates", "**.ipynb_checkpoints"]
html_math_renderer = "mathml"
myst_enable_extensions = ["dollarmath", "amsmath", "deflist"]
nb_execution_mode = "force"  # `-D nb_execution_mode=off` to look at the prose alone
nb_execution_raise_on_error = True
nb_execution_timeout = 300  # seconds a cell
nb_execution_show_tb = True

templates_path = ["_templates"]
autosummary_generate = True
numpydoc_show_class_members = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings give types, with shapes

html_theme = "furo"
html_title = "meanfield"
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["style.css"]

# Sphinx reads below this folder only: the notebooks come to it, and are ignored by git here
HERE = Path(__file__).parent
for copy in (HERE / "notebooks").glob("*.ipynb"):
    copy.unlink()  # of a notebook that may have another name by now
for notebook in (HERE.parent / "notebooks").glob("*.ipynb"):
    shutil.copyfile(notebook, HERE / "notebooks" / notebook.name)


def escape_bars(app, what, name, obj, options, lines):
    """Let docstrings write |u|² for a norm: to reStructuredText it would be a substitution."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith(">>>"):
            parts = re.split(r"(``.*?``)", line)
            parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
            lines[i] = "".join(parts)


def setup(app):
    """Connect what this file defines; after numpydoc, which writes the lines."""
    app.connect("autodoc-process-docstring", escape_bars, priority=900)
