"""What a schedule, several at once, or a clip_norm costs SGD: a step over one at constant rates.

Both are run in turns in one process, on one thread, and timed by the processor's clock; what is
printed is the median of the ratios of neighbouring turns, and their quartiles. Required: 1.1.

    python -m benchmarks.schedules [turns]
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import numpy as np

import meanfield as mf

S = mf.schedules
STEPS = 500_000


def laws(t):
    """Schedules that change by factors until t."""
    return {
        "power": S.power(1.0, 1.0, onset=t),
        "root": S.power(1.0, 0.5, onset=t),
        "exponential": S.exponential(1.0, time=t),
        "cosine": S.cosine(1.0, duration=2.0 * t),
        "piecewise": S.piecewise([0.0, 0.3 * t, 0.7 * t], [1.0, 0.7, 0.4]),
        "power of α": S.power(1.0, 1.0, onset=t, clock="alpha"),
    }


def changes(target, d, t):
    """(A problem at constant rates, one whose step does more) by name."""
    constant = mf.Problem(target, dim=d, learning_rate=0.7)
    found = {
        name: (constant, replace(constant, learning_rate=law)) for name, law in laws(t).items()
    }
    decaying = replace(constant, weight_decay=0.1)
    noise = replace(target, noise=S.power(0.1, 1.0, onset=t))
    rates = {
        "learning_rate": S.power(1.0, 1.0, onset=t),
        "weight_decay": S.power(0.1, 0.5, onset=t),
    }
    found["three at once"] = decaying, replace(decaying, target=noise, **rates)
    for c in (0.3, 1e9):
        found[f"clipped at {c:g}"] = constant, replace(constant, clip_norm=c)
    return found


# (p, d, in R^d)
CASES = ((1, 10**5, False), (2, 10**5, False), (4, 10**5, False), (1, 100, True), (4, 100, True))


def seconds_a_step(problem, start, t_end):
    """Of one run."""
    began = time.thread_time()
    run = mf.simulate_sgd(problem, start, t_end, save_at=2, seed=1, threads=1)
    return (time.thread_time() - began) / run.stats["steps"]


def main(turns: int) -> None:
    """Print the ratios."""
    for p, d, in_weights in CASES:
        t_end = STEPS / (p * d)
        target = mf.CommitteeTarget(k=1, noise=0.1)
        draw = mf.gaussian_weights if in_weights else mf.gaussian_overlaps
        start = draw(mf.Problem(target, dim=d), p, seed=1)
        print(f"{'in R^d' if in_weights else 'in law'}, p = {p}, d = {d}", flush=True)
        for name, (constant, moving) in changes(target, d, t_end).items():
            each = [
                [seconds_a_step(one, start, t_end) for one in (constant, moving, constant)]
                for _ in range(turns + 1)
            ][1:]
            first, second, third = np.array(each).T
            low, middle, high = np.percentile(2.0 * second / (first + third), (25, 50, 75))
            ns = 1e9 * np.median(first)
            print(
                f"  {name:14} {middle:.3f} ({low:.3f} to {high:.3f}) of {ns:.0f} ns a step",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
