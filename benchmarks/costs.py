"""Measure what evaluators take on this machine, and write meanfield/fields/costs.py.

    python -m benchmarks.costs [--dry]

One thread and the processor's clock: each number is the least of a few repetitions, over what it
is the cost of. Numbers within a factor of two of those in use are left as they are, so that what
serves a problem does not change with the weather.
"""

from __future__ import annotations

import argparse
import math
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

import meanfield as mf
from meanfield.fields import Field, choose_field, costs
from meanfield.fields.hemisphere.field import HomogeneousField, make_mesh
from meanfield.fields.slices.field import SliceField
from meanfield.fields.slices.layouts import Layout, lay_out
from meanfield.gaussian.rules import overlap_rule
from meanfield.kernels.threads import thread_limit

REPEATS, NEAR = 5, 2.0


def least(call: Callable[[], object]) -> float:
    """Processor seconds of a call, after one that compiles."""
    call()
    found = []
    for _ in range(REPEATS):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return min(found)


def ready(
    name: str, student: str, k: int, n: int, dim: float = math.inf, rate: float = 0.0
) -> tuple[float, Field]:
    """Seconds of a right-hand side, and the field."""
    problem = mf.Problem(mf.CommitteeTarget(k, student), student, dim, second_layer_rate=rate)
    measure = mf.gaussian_measure(problem, n, scale=0.5, seed=1)
    field = choose_field(problem, measure, name)
    a, u, r = measure.arrays()
    out = np.empty_like(a), np.empty_like(u), np.empty_like(r)
    return least(lambda: field.velocity(a, u, r, *out)), field


def line(name: str, student: str, k: int, few: int, many: int) -> tuple[float, float]:
    """Seconds of a neuron, and of none, by two sizes."""
    short, long = (ready(name, student, k, n)[0] for n in (few, many))
    each = (long - short) / (many - few)
    return each, max(short - few * each, 0.0)


def laid(student: str, k: int, dim: float = math.inf) -> Layout:
    """A layout of slices."""
    field = ready("slices", student, k, 100, dim=dim)[1]
    assert isinstance(field, SliceField) and field.layout is not None
    return field.layout


def measured() -> dict[str, float]:
    """Every number of the table."""
    n, found = 1000, {}
    for student in ("erf", "relu"):
        slopes, both = (ready("pairs", student, 1, n, rate=rate)[0] / n**2 for rate in (0.0, 1.0))
        found[f"pairs {student}"], found[f"pairs {student} values"] = slopes, both - slopes
    seconds, field = ready("series", "tanh", 1, n)
    found["series"] = seconds / n**2 / field.description()["terms"]
    for k in (1, 2, 3):
        each, found[f"slices call {k}"] = line("slices", "gelu", k, 2000, 20_000)
        found[f"slices {k}"] = each / (len(laid("gelu", k).directions) if k == 3 else 1)
    found["slices ratio"] = line("slices", "erf", 1, 2000, 20_000)[0] / found["slices 1"]
    layout = laid("gelu", 2, dim=1000)
    points = layout.matrix.size
    rest = ready("slices", "gelu", 2, 100, dim=1000)[0] - ready("slices", "gelu", 2, 100)[0]
    found["slices nodes"] = max(rest, 0.0) / (points * len(layout.directions))
    problem = mf.Problem(mf.CommitteeTarget(2, "gelu"), "gelu", 1000)
    found["slices layout"] = least(partial(lay_out, problem, *layout.reach, 0)) / points / 100.0
    found["half-sphere neuron"], found["half-sphere"] = line("half-sphere", "relu", 2, 2000, 20_000)
    field = ready("half-sphere", "relu", 2, 100, dim=30)[1]
    assert isinstance(field, HomogeneousField)
    overlaps = len(overlap_rule(28, 1.0, smooth=False)[0])
    taken = least(lambda: make_mesh(28, 0, against=False))
    found["half-sphere layout"] = taken / overlaps / 100.0
    found["polynomial"] = line("polynomial", "hermite4", 2, 2000, 50_000)[0] / 15
    seconds, field = ready("quadrature", "tanh", 2, n)
    found["quadrature"] = seconds / n / field.description()["nodes"]
    return found


def main() -> None:
    """Print the measured beside those in use; write them unless it is a dry run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry", action="store_true", help="write nothing")
    dry = parser.parse_args().dry
    path = Path(costs.__file__)
    text = path.read_text(encoding="utf-8")
    with thread_limit(1):
        found = measured()
    for name, used in costs.SECONDS.items():
        seconds = found[name]
        print(f"{name:20} {seconds:8.1e}   in use {used:8.1e}")
        if not used / NEAR <= seconds <= used * NEAR:
            text = re.sub(rf'("{name}": )[^,]*', rf"\g<1>{seconds:.0e}", text)
    if not dry:
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
