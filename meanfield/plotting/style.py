"""What the pictures share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, LIMIT, BAND = "#222222", "#c1272d", "#d6d6d6"
TIME_LABEL = "time t  (one SGD step takes γ/(p d))"


def shades(count: int) -> Any:
    """Colours from light to dark: what comes later, or is larger, is darker in grey too."""
    return plt.get_cmap("viridis_r")(np.linspace(0.12, 0.95, count))


def axes(ax: Axes | None, size: tuple[float, float] = (5.6, 3.9)) -> Axes:
    """The axes given, or new ones, without the frame's upper and right side."""
    if ax is None:
        _, ax = plt.subplots(figsize=size, layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    return ax
