"""Whether stated errors hold: random problems against the slow twin, mean field and overlaps.

For each problem the twin's velocities, risk and E f*² are computed with two numbers of nodes, whose
difference is what the twin is good for; then the library's, with the error that it states and the
status it gives. A true error may be 1.5 times the stated one in 97 of 100 problems and 10 times in
none, and no success may leave more than 1e-5 unsaid. Errors below 1e-10 count as held: they are
rounding. What the errors are relative to stands at `mean_field_error` and `overlap_error`.

    python -m benchmarks.calibration [--first 0] [--count 200] [--store FOLDER] [--results FILE]

The twin takes some ten seconds a problem; with a store it is asked once for each.
"""

from __future__ import annotations

import argparse
import json
import math
import pickle
import signal
import time
from pathlib import Path
from unittest import mock

import numpy as np

import meanfield as mf
from meanfield.dynamics.particles import solve as mean_field
from meanfield.dynamics.particles.flow import ParticleFlow
from tests.reference import measures as twin
from tests.reference.problems import Case, draw

NODES = 10, 8  # of a panel: the reference, and what tells its error
ROUNDING = 1e-10  # smaller errors count as held
ALLOWED, NEVER, UNSAID = 1.5, 10.0, 1e-5
PATIENCE = 6.0  # seconds of the processor for one description of a problem
EDGES = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 1.5, 3.0, 10.0, math.inf)
NEGLIGIBLE, CANCELLED, TINY = 1e-3, 1e-6, 1e-300


# -- the twin ---------------------------------------------------------------------------------


def reference(case: Case) -> dict:
    """The twin's numbers at both numbers of nodes."""
    D = case.problem.perpendicular_dim
    basis = np.array(case.problem.target.basis)
    field, overlaps = [], []
    for nodes in NODES:
        measure = case.a, case.u, case.r, case.mass
        field.append(twin.truth(case.sigma, case.target, D, *measure, nodes))
        weights = case.weights()
        overlaps.append(twin.overlap_truth(case.sigma, case.target, basis, case.a, weights, nodes))
    found = {"field": field, "overlaps": overlaps, "norms": norms(case)}
    if case.problem.learning_rate > 0.0:
        noise = case.problem.target.noise
        found["noise"] = twin.noise_truth(case.sigma, case.target, noise, case.a, case.weights())
    return found


def norms(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """√E σ² and √E σ'² of each unit."""
    sigma = case.sigma
    slope = twin.Unit(
        "slope", sigma.slope, sigma.slope, sigma.centres, sigma.width, sigma.wave, sigma.smooth
    )
    q = (case.u**2).sum(axis=1) + case.r**2
    both = [[twin.line_mean(f, float(one), 8, 2) for one in q] for f in (sigma, slope)]
    return np.sqrt(both[0]), np.sqrt(both[1])


def stored_reference(seed: int, case: Case, store: Path | None) -> dict:
    """The twin's numbers, from the store if the same problem is there."""
    path = None if store is None else store / f"{seed}.pickle"
    if path is not None and path.exists():
        label, found = pickle.loads(path.read_bytes())
        if label == case.label:
            return found
    found = reference(case)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps((case.label, found)))
    return found


# -- errors -----------------------------------------------------------------------------------


def mean_field_error(case: Case, expected: twin.Truth, da, du, dr, risk) -> dict[str, float]:
    """Errors of u, r, the second layer and the risk, as the field's estimate measures them.

    Velocities of u and r: the largest miss of a neuron over the root mean square of each, taken for
    no less than a thousandth of the other and a millionth of √(E f*²) times the root mean square of
    a. The second layer: over the root mean square of E ε σ, or √(E f*²) where that is larger. The
    risk: over ½ E f*², or itself.
    """
    rms = lambda x: math.sqrt(float(case.mass @ (x.reshape(len(x), -1) ** 2).sum(axis=1)))  # noqa: E731
    both = np.array([rms(expected.du), rms(expected.dr)])
    whole = math.sqrt(expected.square)
    size = np.maximum(both, max(NEGLIGIBLE * both.max(), CANCELLED * whole * rms(case.a), TINY))
    miss_u = np.sqrt(((du - expected.du) ** 2).sum(axis=1)).max()
    errors = {"u": miss_u / size[0], "r": np.abs(dr - expected.dr).max() / size[1]}
    if case.problem.second_layer_rate > 0.0:
        size_a = max(rms(expected.potential), whole, TINY)
        errors["a"] = np.abs(da - expected.potential).max() / size_a
    errors["risk"] = abs(risk - expected.risk) / max(0.5 * expected.square, expected.risk, TINY)
    return {name: float(error) for name, error in errors.items()}


def overlap_error(case: Case, expected, sizes, dQ, dM, da, risk) -> dict[str, float]:
    """Errors of the drift and the risk over the norms of what is averaged.

    ‖ε‖ is √(E f*²) + Σ |a_j| ‖σ_j‖/p; the average of a_i σ'_i ε λ_l is held to |a_i| ‖σ'_i‖ ‖ε‖
    times the length of λ_l, that of σ_i ε to ‖σ_i‖ ‖ε‖, the risk to ‖ε‖².
    """
    value, slope = sizes
    epsilon = math.sqrt(expected.square) + float(np.abs(case.a) @ value) / len(case.a)
    length = np.sqrt((case.u**2).sum(axis=1) + case.r**2)
    teacher = np.sqrt(np.diag(np.asarray(case.problem.target.gram)))
    push = np.abs(case.a) * slope * epsilon
    by_Q = np.outer(push, length) + np.outer(length, push)
    errors = {
        "Q": (np.abs(dQ - expected.dQ) / np.maximum(by_Q, TINY)).max(),
        "M": (np.abs(dM - expected.dM) / np.maximum(np.outer(push, teacher), TINY)).max(),
        "risk": abs(risk - expected.risk) / max(epsilon**2, TINY),
    }
    if case.problem.second_layer_rate > 0.0:
        errors["a"] = (np.abs(da - expected.potential) / np.maximum(value * epsilon, TINY)).max()
    return {name: float(error) for name, error in errors.items()}


# -- one problem ------------------------------------------------------------------------------


def check_field(case: Case, found: dict) -> dict:
    """Stated and true error of the mean field."""
    best, other = found["field"]
    known = mean_field_error(case, best, other.potential, other.du, other.dr, other.risk)
    brief = 1e-9 / (1.0 + speed_of(case, best))
    with mock.patch.object(mean_field, "ParticleFlow", KeptFlow):
        run = mf.solve_mean_field(case.problem, case.measure(), brief, save_at=[0.0, brief])
    flow = KeptFlow.last
    y = flow.start()
    moving, idle = np.empty_like(y), np.zeros(flow.n)
    flow.slope(0.0, y, moving)
    every = slice(None, None, case.copies)
    parts = [part[every] for part in flow.split(moving, idle)]
    errors = mean_field_error(case, best, *parts, run.risk[0])
    stated = dict.fromkeys(errors, run.stats["field_error"])
    stated["risk"] += run.stats.get("average_error", 0.0)
    return outcome(run.status, stated, errors, known) | {"field": run.stats["field"]}


class KeptFlow(ParticleFlow):
    """The flow of a run, kept to be asked for the velocities that the run took."""

    last: ParticleFlow

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        KeptFlow.last = self


def speed_of(case: Case, truth: twin.Truth) -> float:
    """How fast anything moves, relative to itself."""
    moving = np.abs(truth.du).max(axis=1) + np.abs(truth.dr)
    size = np.abs(case.u).max(axis=1) + case.r
    return float((moving / size).max() + np.abs(truth.potential).max() / np.abs(case.a).min())


def check_overlaps(case: Case, found: dict) -> dict:
    """Stated and true error of the drift of the overlaps, and of the γ/p term if there is one."""
    best, other = found["overlaps"]
    sizes = found["norms"]
    known = overlap_error(case, best, sizes, other.dQ, other.dM, other.potential, other.risk)
    overlaps, brief = case.overlaps(), 1e-9 / (1.0 + speed_of(case, found["field"][0]))
    drift = mf.overlap_velocity(case.problem, overlaps, sgd_noise=False)
    noisy = "noise" in found
    run = mf.solve_overlaps(case.problem, overlaps, brief, save_at=[0.0, brief], sgd_noise=noisy)
    errors = overlap_error(case, best, sizes, *drift, run.risk[0])
    stated = dict.fromkeys(errors, run.stats["average_error"])
    result = outcome(run.status, stated, errors, known) | {"field": "overlaps"}
    if noisy:
        term, spread = found["noise"]
        rate = case.problem.learning_rate / len(case.a)
        whole = mf.overlap_velocity(case.problem, overlaps).Q - drift.Q
        size = max(float(np.linalg.norm(rate * term)), TINY)
        miss = float(np.linalg.norm(whole - rate * term)) / size
        result["noise"] = {
            "true": miss, "stated": run.stats["noise_error"], "known": rate * spread / size,
        }  # fmt: skip
    return result


def outcome(status, stated: dict, errors: dict, known: dict) -> dict:
    """What is said beside what is true, where the two are furthest apart."""
    found = {
        "status": str(getattr(status, "value", status)), "errors": errors,
        "stated": 0.0, "true": 0.0, "known": 0.0, "in": "none",
    }  # fmt: skip
    for name, true in errors.items():
        one = {"stated": float(stated[name]), "true": true, "known": known[name], "in": name}
        if ratio(one) >= ratio(found):
            found |= one
    return found


class TooLong(BaseException):  # no library's `except Exception` swallows it
    """A problem took more than its time."""


def _stop(*_):
    raise TooLong


def check(seed: int, store: Path | None = None) -> list[dict]:
    """The records of a problem, one for each description."""
    case, records = draw(seed), []
    found = stored_reference(seed, case, store)
    for kind, checked in (("mean field", check_field), ("overlaps", check_overlaps)):
        start = time.process_time()
        previous = signal.signal(signal.SIGVTALRM, _stop)
        signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
        try:
            with np.errstate(all="ignore"):
                record = checked(case, found)
        except (Exception, TooLong) as error:  # a refusal is an answer, and counted apart
            record = {"raised": f"{type(error).__name__}: {str(error)[:200]}"}
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
            signal.signal(signal.SIGVTALRM, previous)
        seconds = time.process_time() - start
        records.append({"seed": seed, "kind": kind, "seconds": round(seconds, 1)} | record)
        records[-1]["label"] = case.label
    return records


# -- verdicts ---------------------------------------------------------------------------------


def ratio(record: dict) -> float:
    """True over stated, with what the twin does not know taken off the true."""
    true = max(record["true"] - record["known"], 0.0)
    if not math.isfinite(true):
        return 0.0 if not math.isfinite(record["stated"]) else math.inf
    return 0.0 if true <= ROUNDING else true / max(record["stated"], ROUNDING)


def unsaid(record: dict) -> float:
    """What a success leaves unsaid: the true error beyond 1.5 times the stated one."""
    if record["status"] != "success":
        return 0.0
    true = max(record["true"] - record["known"], 0.0)
    return true if true > ALLOWED * max(record["stated"], ROUNDING) else 0.0


def line(record: dict) -> str:
    """One problem on one line."""
    head = f"{record['seed']:4d} {record['kind']:10} {record['seconds']:6.1f}s "
    if "raised" in record:
        return f"{head} {record['raised']} | {record['label']}"
    return (
        f"{head} {record['field']:11} {record['status']:10} stated {record['stated']:7.0e} "
        f"true {record['true']:7.0e} in {record['in']:4} (twin {record['known']:.0e}) "
        f"ratio {ratio(record):8.2g} | {record['label']}"
    )


def summary(records: list[dict]) -> dict:
    """Counts of the histogram and of what is required."""
    answers = [record for record in records if "raised" not in record]
    ratios = np.array([ratio(record) for record in answers])
    counts = np.histogram(ratios[np.isfinite(ratios)], [*EDGES[:-1], 1e300])[0]
    counts[-1] += int(np.isinf(ratios).sum())
    return {
        "problems": len(records),
        "raised": len(records) - len(answers),
        "inaccurate": sum(record["status"] != "success" for record in answers),
        "edges": [str(edge) for edge in EDGES],
        "counts": counts.tolist(),
        "beyond_1.5": int((ratios > ALLOWED).sum()),
        "beyond_10": int((ratios > NEVER).sum()),
        "worst": float(ratios.max(initial=0.0)),
        "largest_unsaid": max((unsaid(record) for record in answers), default=0.0),
    }


def noise_records(records: list[dict]) -> list[dict]:
    """The γ/p terms as records of their own."""
    found = []
    for record in records:
        if "noise" in record:
            both = {"kind": "γ/p term", "in": "Q", "known": 3.0 * record["noise"]["known"]}
            found.append(record | record["noise"] | both)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    records: list[dict] = []
    for seed in range(arguments.first, arguments.first + arguments.count):
        for record in check(seed, arguments.store):
            records.append(record)
            print(line(record), flush=True)
        for record in noise_records(records[-1:]):
            print(line(record), flush=True)
    found = {}
    for kind in ("mean field", "overlaps"):
        found[kind] = summary([record for record in records if record["kind"] == kind])
    found["γ/p term"] = summary(noise_records(records))
    for kind, numbers in found.items():
        print(f"\n{kind}: {json.dumps(numbers, ensure_ascii=False)}")
    if arguments.results:
        arguments.results.write_text(
            json.dumps({"summary": found, "records": records}, ensure_ascii=False, indent=1)
        )


if __name__ == "__main__":
    main()
