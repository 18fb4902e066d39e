"""Tables: of words in columns, and in HTML, that notebooks show in place of a repr."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def table(title: str, rows: Mapping[str, Any]) -> str:
    """A title and its rows as a piece of HTML without style of its own.

    Parameters
    ----------
    title : str
    rows : mapping of str to object
        Numbers are written with six digits; None and empty strings are left out.
    """
    shown = {name: text(value) for name, value in rows.items() if value not in (None, "")}
    lines = (
        f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
        f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
        for name, value in shown.items()
    )
    return f"<table><caption>{html.escape(title)}</caption>{''.join(lines)}</table>"


def columns(
    rows: Sequence[Sequence[str]], justify: Callable[[str, int], str] = str.rjust
) -> list[str]:
    """Lines of text: rows of words as columns, with a rule below the first."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(justify, row, widths)).rstrip() for row in rows]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def printed(value: Any) -> str:
    """What prints as a table, as it prints."""
    return f"<pre>{html.escape(str(value))}</pre>"


def text(value: Any) -> str:
    """A value as a reader wants it: numbers with six digits."""
    if value in (math.inf, "inf"):  # plain values of a study have no infinity
        return "∞"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
