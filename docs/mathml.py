"""Sphinx extension: formulas become MathML at build; pages need no network and no script."""

from html import escape

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util.math import wrap_displaymath


def _mathml(latex, display="inline"):
    # names in typewriter keep the backslash before their underscores
    return convert(latex, display=display).replace("\\_", "_")


def _inline(self, node):
    self.body.append(_mathml(node.astext()))
    raise nodes.SkipNode


def _block(self, node):
    """A displayed formula; several lines, or several equations, are aligned at their &."""
    latex = wrap_displaymath(node.astext(), None, False).replace("\\[", "").replace("\\]", "")
    number = f'<span class="eqno">({escape(str(node["number"]))})</span>' if node["number"] else ""
    label = f' id="{escape(node["ids"][0])}"' if node["ids"] else ""
    formula = _mathml(latex.strip(), "block")
    self.body.append(f'<div class="formula"{label}>{number}{formula}</div>')
    raise nodes.SkipNode


def setup(app):
    """Register the renderer; conf.py chooses it."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
