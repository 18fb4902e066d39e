"""Speed of the mean field: a right-hand side, its scaling, a long run, and starting up.

Baseline: jitted JAX by direct quadrature (`baselines`), timed in turns with ours; per neuron, since
it is proportional to n. Floors: each neuron's a, u, r read once and du, dr written once, timed in
the same turns; and the operations of the meshes' stencils at the machine's peak, timed too. The
gap is ours over the larger of the two floors. Beside times by the clock stand those that the
threads spent on the processors, which a busy machine disturbs less. The last columns are the error
as the field states it, and against direct quadrature.

    python -m benchmarks.mean_field [--quick] [--large]
"""

from __future__ import annotations

import math
import subprocess
import sys
import time

import numpy as np

import meanfield as mf
from benchmarks import baselines, machine, truth
from meanfield.fields.base import Field
from meanfield.fields.choose import choose_field
from meanfield.fields.polynomial import PolynomialField
from meanfield.fields.slices.field import SliceField
from meanfield.fields.slices.smooth import sees_ratio
from meanfield.kernels.threads import thread_limit

# activation, k, d, neurons; neurons and nodes of the baseline; the ratio wanted
LINES = (
    ("erf", 1, math.inf, 1_000_000, 200_000, 64, 25.0),
    ("erf", 1, 10, 1_000_000, 400, 64, 20_000.0),
    ("erf", 1, 1000, 1_000_000, 400, 64, None),
    ("erf", 2, math.inf, 100_000, 10_000, 32, 50.0),
    *(
        (name, 2, math.inf, 100_000, 10_000, 32, 20.0)
        for name in (
            "tanh", "gelu", "sigmoid", "softplus", "sine", "relu",
            "square", "hermite2", "hermite3", "hermite4",
        )
    ),
    ("relu", 2, 10, 100_000, None, None, None),
    ("erf", 2, 10, 100_000, None, None, None),
    ("erf", 2, 1000, 100_000, None, None, None),
    ("tanh", 2, 10, 100_000, None, None, None),
    ("tanh", 2, 1000, 100_000, None, None, None),
    ("erf", 3, math.inf, 20_000, 500, 32, 10.0),
    ("gelu", 3, math.inf, 20_000, 500, 32, 10.0),
    ("tanh", 3, math.inf, 20_000, 500, 32, 10.0),
)  # fmt: skip


def start(activation: str, k: int, dim: float, n: int):
    """A problem, neurons half-way between a random start and the target, and their field."""
    problem = mf.Problem(mf.CommitteeTarget(k=k), activation, dim=dim)
    rng = np.random.default_rng(0)
    measure = mf.ParticleMeasure(
        np.ones(n), 0.3 * rng.standard_normal((n, k)), np.abs(1.0 + 0.1 * rng.standard_normal(n))
    )
    return problem, measure, choose_field(problem, measure)


def evaluation(field: Field, measure: mf.ParticleMeasure):
    """One right-hand side, as a call."""
    a, u, r = measure.arrays()
    out = np.empty_like(a), np.empty_like(u), np.empty_like(r)
    return lambda: field.velocity(a, u, r, *out)


def operations(field: Field, k: int) -> float:
    """Additions and multiplications of a neuron: places, weights, stencils there and back.

    In one direction places in cells, monomials, and their products with polynomials.
    """
    axes, repeats = 2, 1  # direction and latitude of a homogeneous neuron
    if isinstance(field, PolynomialField):
        return 8.0 * len(field.index)
    if isinstance(field, SliceField) and field.layout is not None:
        axes = k if sees_ratio(field.problem.student, field.D) else k + 1
        if k == 1 and field.smooth:
            numbers = (8, 36)[axes - 1]
            return 2.0 * (8 * axes + numbers + numbers * (1 + axes))
        if k == 3:
            axes, repeats = axes - 2, len(field.layout.directions)
    places = 2 * 60 * axes
    weights = 2 * 8 * axes * (7 + 13)
    stencils = 2 * 8**axes * (1 + axes)
    return repeats * (places + weights + stencils)


def one_line(activation, k, dim, n, n_baseline, nodes, wanted, speed) -> None:
    problem, measure, field = start(activation, k, dim, n)
    calls = {"ours": evaluation(field, measure), "touch": machine.touching(n, k)}
    if n_baseline is not None:
        a, u, r = (x[:n_baseline] for x in measure.arrays())
        finite = math.isfinite(dim)
        calls["jax"] = (
            baselines.finite(dim, a, u, r) if finite else baselines.infinite(k, nodes, a, u, r)
        )
    times = machine.interleaved(calls, 5)
    ours, touch = 1e9 * times["ours"].wall / n, 1e9 * times["touch"].wall / n
    spent = 1e9 * times["ours"].cpu / n
    stencils = 1e9 * operations(field, k) / speed
    line = f"{activation:>8} {k:2d} {dim:>6} {n:>9,} {ours:8.1f} {spent:8.1f}"
    if "jax" in times:
        jax, its = (1e9 * seconds / n_baseline for seconds in times["jax"])
        line += f" {jax:10.0f} {jax / ours:8.0f}× {its / spent:8.0f}×"
        line += f" ({wanted:,.0f})" if wanted else ""
    gap = ours / max(touch, stencils)
    direct = truth.error(problem, field, measure) if math.isinf(dim) or k == 1 else math.nan
    line = f"{line:80} {touch:6.1f} {stencils:6.1f} {gap:5.1f}"
    print(f"{line} {field.error_estimate(measure):8.0e} {direct:8.0e}", flush=True)


def scaling(sizes: tuple[int, ...]) -> None:
    """Time against n and against threads, d = 1000."""
    prepared = {size: start("erf", 1, 1000, size)[1:] for size in sizes}
    calls = {size: evaluation(field, m) for size, (m, field) in prepared.items()}
    print(f"\nerf, k = 1, d = 1000, n = {', '.join(f'{n:,}' for n in sizes)}, calls in a row:")
    seconds = {}
    for threads, label in ((1, "one thread"), (None, "all threads")):
        with thread_limit(threads):
            found = [machine.in_a_row(call, 4 * 10**6 // n) for n, call in calls.items()]
        exponent = np.polyfit(np.log(sizes), np.log(found), 1)[0]
        cells = ", ".join(f"{1e9 * s / n:.1f}" for n, s in zip(sizes, found, strict=True))
        print(f"{label}: {cells} ns, fitted exponent {exponent:.3f} (0.95 to 1.05 wanted)")
        seconds[label] = found[sizes.index(10**6)]
    gain = seconds["one thread"] / seconds["all threads"]
    print(f"one thread over all threads, n = 10⁶: {gain:.2f} (1.8 wanted)")


def long_run(n: int) -> None:
    """d = 1000 from t = 0 to 100, in a process of its own for the sake of its memory."""
    code = f"from benchmarks import mean_field; mean_field.run_to_100({n})"
    subprocess.run([sys.executable, "-c", code], check=True)


def run_to_100(n: int) -> None:
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=1000)
    few = mf.gaussian_measure(problem, 10_000, seed=1)
    mf.solve_mean_field(problem, few, 100.0, [0.0, 100.0], keep="ends")
    before = machine.peak_memory()  # of the program, its libraries and its compiled code
    measure = mf.gaussian_measure(problem, n, seed=1)
    began = time.perf_counter()
    run = mf.solve_mean_field(problem, measure, 100.0, [0.0, 100.0], keep="ends")
    seconds = time.perf_counter() - began
    count = run.stats["rhs_evaluations"]
    memory = machine.peak_memory()
    numbers = 1024 * (memory - before) / (8 * n)
    print(
        f"\nn = {n:,}, d = 1000, erf, t = 0 to 100: {seconds:.1f} s, {count} right-hand sides, "
        f"{1e9 * seconds / count / n:.0f} ns per neuron and right-hand side all included, field "
        f"error {run.stats['field_error']:.0e}, {run.status}; "
        f"peak memory {memory / 2**20:.2f} GiB, "
        f"{numbers:.1f} doubles a neuron, start and result among them (16 wanted)"
    )


def starting_up() -> None:
    """A fresh process: import alone, and import with a first solve, compiled code on disk."""
    solve = (
        "import meanfield as mf; p = mf.Problem(mf.CommitteeTarget(k=1), dim=1000); "
        "mf.solve_mean_field(p, mf.gaussian_measure(p, 10_000), 10.0)"
    )
    for label, code in (("import", "import meanfield"), ("first solve", solve)):
        taken = []
        for _ in range(4):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            taken.append(time.perf_counter() - began)
        print(f"fresh process, {label}: {min(taken[1:]):.2f} s")


def main() -> None:
    quick = "--quick" in sys.argv
    speed = machine.peak()
    print(f"peak {1e-9 * speed:.0f} Gflop/s; ns per neuron and right-hand side")
    print(f"{'σ':>8} {'k':>2} {'d':>6} {'n':>9} {'ours':>8} {'of CPU':>8} {'JAX':>10}"
          f" {'ratio':>9} {'of CPU':>9} {'(wanted)':11}"
          f" {'bytes':>6} {'flops':>6} {'gap':>5} {'stated':>8} {'direct':>8}")  # fmt: skip
    for line in LINES[:6] if quick else LINES:
        one_line(*line, speed)
    scaling((10_000, 100_000, 1_000_000) + (() if quick else (10_000_000,)))
    starting_up()
    long_run(10_000_000 if "--large" in sys.argv else 1_000_000)


if __name__ == "__main__":
    main()
