"""The axes of a study: which places in a run they set, and how."""

from __future__ import annotations

from typing import Any

from meanfield import checks
from meanfield.studies.canonical import plain

PLACES = ("problem", "start", "solver")
REPLICAS = "replicas"  # may be set at a point of the grid too: a limit without chance needs one


def check_grid(grid: Any) -> dict[str, list[Any]]:
    """The axes of a grid as plain values, each place on one axis only."""
    axes = plain(grid, "grid")
    checks.instance(axes, "grid", dict)
    seen: dict[str, str] = {}
    for axis, values in axes.items():
        if not isinstance(values, list) or not values:
            raise ValueError(f"grid.{axis} must be a list of at least one value, got {values!r}")
        for value in values:
            for place in settings_of(axis, value):
                if place != REPLICAS and place.split(".")[0] not in PLACES:
                    raise ValueError(
                        f"grid.{axis}: {place!r} is no place in a run; places start with "
                        + ", ".join(PLACES)
                    )
                if seen.setdefault(place, axis) != axis:
                    raise ValueError(f"grid.{axis}: {place} is set by grid.{seen[place]} as well")
    return axes


def settings_of(axis: str, value: Any) -> dict[str, Any]:
    """Which places a value of an axis sets."""
    if "." in axis or axis in PLACES:
        return {axis: value}
    if not isinstance(value, dict):
        raise ValueError(
            f"grid.{axis} is no place in a run, so its values must be mappings from places to "
            f"values, got {value!r}"
        )
    return value


def put(values: dict[str, Any], path: list[str], item: Any, place: str) -> dict[str, Any]:
    """A copy with one entry replaced; copies only what lies on the way."""
    if len(path) == 1:
        return {**values, path[0]: item}
    below = values.get(path[0], {})
    if not isinstance(below, dict):
        raise ValueError(f"grid: there is nothing to set at {place!r}")
    return {**values, path[0]: put(below, path[1:], item, place)}
