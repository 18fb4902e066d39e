"""A study as one HTML page that can be sent: drawings inside, no scripts and no network."""

from __future__ import annotations

import html
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import to_hex

from meanfield import checks, display
from meanfield.plotting.studies import (
    MOST_IN_LEGEND,
    Curve,
    curve_names,
    curves_of,
    is_logarithmic,
    varied_axes,
)  # fmt: skip
from meanfield.plotting.style import shades
from meanfield.studies.results import StudyResults

WIDTH, HEIGHT, LEFT, BOTTOM, MARGIN = 560, 340, 70, 40, 14
DASHES = ("", "6 3", "2 2", "8 2 2 2")
READING = (
    "<p>Time t counts γ/(p d) for a step of SGD. Means over replicas; values show under the "
    "pointer.</p>"
)
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64em; margin: 0 auto; padding: 1em; }
section > div, pre { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85em; }
td, th { padding: 0.15em 0.7em; text-align: right; border-bottom: 1px solid #ddd; }
svg { width: 100%; max-width: 40em; height: auto; font-size: 11px; }
circle { opacity: 0; } circle:hover { opacity: 1; }
.failed { color: #a02020; }
"""


def save_report(results: StudyResults, path: str | os.PathLike[str]) -> Path:
    """Write what a study found as one HTML page.

    Parameters
    ----------
    results : StudyResults
    path : str or path
        The file to write.

    Returns
    -------
    Path
        The file written. It holds what was run, the table of means, a drawing of every observable
        with one number a time, whose values show under the pointer, every run with its status and
        error estimates, failures with their messages, and the versions that made it.

    Raises
    ------
    TypeError
        If `results` are not those of a study.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile, meanfield as mf
    >>> study = mf.Study(
    ...     problem=mf.Problem(mf.CommitteeTarget(k=1)),
    ...     start={"law": "gaussian_measure", "n": 50},
    ...     solver={"description": "mean_field", "t_end": 1.0, "save_at": 3},
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = mf.plotting.save_report(study.run(), f"{folder}/report.html")
    ...     "</html>" in page.read_text(encoding="utf-8")
    True
    """
    path = Path(path)
    path.write_text(page(results), encoding="utf-8")
    return path


def page(results: StudyResults) -> str:
    """The text of the page that `save_report` writes."""
    checks.instance(results, "results", StudyResults)
    title = f"Study: {results.study.name}"
    asked = json.dumps(results.study.parameters(), indent=1)
    drawings = "".join(
        f"<h3>{html.escape(name.replace('_', ' '))}</h3>{_drawing(results, name)}"
        for name in curve_names(results)
    )
    sections = {
        "What was found": f"<pre>{html.escape(results.text())}</pre>",
        "Against time": (drawings + READING) if drawings else "",
        "Runs": _table(results.table()),
        "Failures": _failures(results),
        "Versions": "".join(f"<pre>{html.escape(text)}</pre>" for text in results.versions),
        "What was run": f"<pre>{html.escape(asked)}</pre>",
    }  # fmt: skip
    body = "".join(
        f"<section><h2>{heading}</h2><div>{content}</div></section>"
        for heading, content in sections.items() if content
    )  # fmt: skip
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><h1>{html.escape(title)}</h1>{body}</body></html>\n"
    )


def _table(rows: Sequence[dict[str, Any]]) -> str:
    columns = [c for c in dict.fromkeys(name for row in rows for name in row) if c != "t"]
    lines = ["".join(f"<th>{html.escape(name)}</th>" for name in columns)]
    lines += [
        "".join(f"<td>{html.escape(display.text(row.get(name, '')))}</td>" for name in columns)
        for row in rows
    ]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _failures(results: StudyResults) -> str:
    return "".join(
        f"<p class='failed'>run {html.escape(record.key[:12])}: {html.escape(record.message)}</p>"
        f"<pre>{html.escape(record.traceback)}</pre>"
        for record in results.failures
    )


def _drawing(results: StudyResults, name: str) -> str:
    """An observable against time as SVG: lines, and a point with its value at each saved time."""
    curves = curves_of(results, name)
    log = is_logarithmic(results, name)
    means = np.concatenate([curve.mean for curve in curves])
    shown = means[np.isfinite(means) & ((means > 0.0) | (not log))]
    if not shown.size:
        return "<p>No value to draw.</p>"
    height = np.log10 if log else np.asarray
    low, high = float(height(shown.min())), float(height(shown.max()))
    high = high if high > low else low + 1.0
    end = max(float(curve.t.max()) for curve in curves) or 1.0

    def place(t: Any, value: Any) -> tuple[Any, Any]:
        x = LEFT + (WIDTH - LEFT - MARGIN) * t / end
        y = HEIGHT - BOTTOM - (HEIGHT - BOTTOM - MARGIN) * (height(value) - low) / (high - low)
        return x, y

    ticks = []
    for level in np.linspace(low, high, 5):
        y = place(0.0, 10.0**level if log else level)[1]
        word = f"{10.0**level if log else level:.3g}"
        ticks.append(f"<text x='{LEFT - 6}' y='{y + 4:.1f}' text-anchor='end'>{word}</text>")
    for t in np.linspace(0.0, end, 5):
        x = place(t, 10.0**low if log else low)[0]
        ticks.append(
            f"<text x='{x:.1f}' y='{HEIGHT - BOTTOM + 16}' text-anchor='middle'>{t:.3g}</text>"
        )
    colours = shades(1 + max(curve.first for curve in curves))
    lines = "".join(_line(curve, to_hex(colours[curve.first]), place, log) for curve in curves)
    corner = HEIGHT - BOTTOM
    return (
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img'>"
        f"<path d='M{LEFT} {MARGIN}V{corner}H{WIDTH - MARGIN}' fill='none' stroke='#222'/>"
        f"{''.join(ticks)}<text x='{WIDTH / 2}' y='{HEIGHT - 6}' text-anchor='middle'>time t</text>"
        f"{lines}</svg>{_legend(results, curves, colours)}"
    )


def _legend(results: StudyResults, curves: Sequence[Curve], colours: Any) -> str:
    """What the colours mean, where there are few enough to be read."""
    if not 1 < len(curves) <= MOST_IN_LEGEND:
        return ""
    words = ", ".join(
        f"<span style='color:{to_hex(colours[curve.first])}'>━</span> {html.escape(curve.label)}"
        for curve in curves
    )
    return f"<p>{html.escape(', '.join(varied_axes(results)))}: {words}</p>"


def _line(curve: Curve, colour: str, place: Any, log: bool) -> str:
    there = np.isfinite(curve.mean) & ((curve.mean > 0.0) | (not log))
    t, mean, error = curve.t[there], curve.mean[there], curve.error[there]
    if not len(t):
        return ""
    x, y = place(t, mean)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    dash = DASHES[curve.rest % len(DASHES)]
    marks = []
    for i in range(len(t)):
        spread = f" ± {error[i]:.1g}" if error[i] > 0.0 and math.isfinite(error[i]) else ""
        who = f"{curve.label}: " if curve.label else ""
        words = html.escape(f"{who}{mean[i]:.6g}{spread} at t = {t[i]:.6g}")
        marks.append(
            f"<circle cx='{x[i]:.1f}' cy='{y[i]:.1f}' r='5' fill='{colour}'>"
            f"<title>{words}</title></circle>"
        )
    return (
        f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='1.6' "
        f"stroke-dasharray='{dash}'/>{''.join(marks)}"
    )
