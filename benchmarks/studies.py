"""What a study costs over its runs, and how much faster two processes are.

    python benchmarks/studies.py [--runs 200] [--workers 2] [--neurons 100]

Serial and parallel are timed in turn, several times over, and medians compared. On a machine busy
with other work even these ratios mean little, so computing time is counted too: what the runs take
in the workers, and what the study takes in the process that hands them out, say how long free cores
would need.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import meanfield as mf
from meanfield.studies import ProcessPool
from meanfield.studies.engine import as_they_finish
from meanfield.studies.run import Task, make_run


def study_of(runs: int, neurons: int) -> mf.Study:
    return mf.Study(
        problem=mf.Problem(mf.CommitteeTarget(k=1), dim=100),
        start={"law": "gaussian_measure", "n": neurons},
        solver={"description": "mean_field", "t_end": 20.0, "save_at": 21},
        observables=["risk", "energy", "alignment_quantiles"],
        replicas=runs,
    )


def computing(task: Task) -> float:
    """Seconds of computing that a run takes where it is made."""
    before = time.process_time()
    make_run(task)
    return time.process_time() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--neurons", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    study = study_of(options.runs, options.neurons)
    tasks = [Task(run.key, run.parameters, None, 1) for run in study.runs]
    make_run(tasks[0])  # compiled code is loaded
    times: dict[str, list[float]] = {"runs alone": [], "serial": [], "pool": []}
    added: list[float] = []
    predicted: list[float] = []
    with tempfile.TemporaryDirectory() as scratch, ProcessPool(options.workers) as pool:
        study_of(4 * options.workers, options.neurons).run(pool)  # workers are there and warm
        for i in range(options.rounds):
            started, cpu = time.perf_counter(), time.process_time()
            for task in tasks:
                make_run(task)
            alone, cpu_alone = time.perf_counter(), time.process_time()
            study.run(store=Path(scratch) / f"serial{i}", threads=1)
            serial, cpu_serial = time.perf_counter(), time.process_time()
            study.run(pool, Path(scratch) / f"pool{i}")
            times["runs alone"].append(alone - started)
            times["serial"].append(serial - alone)
            times["pool"].append(time.perf_counter() - serial)
            handing = time.process_time() - cpu_serial
            made = [f.result() for _, f in as_they_finish(computing, tasks, pool)]
            needed = (sum(made) + handing) / options.workers
            predicted.append((cpu_serial - cpu_alone) / needed)
            added.append((cpu_serial - cpu_alone) - (cpu_alone - cpu))
            print({name: round(values[-1], 2) for name, values in times.items()}, flush=True)
            print(
                f"  computing: {cpu_serial - cpu_alone:.2f} s in series; in processes "
                f"{sum(made):.2f} s of runs and {handing:.2f} s of handing out"
            )
    alone_s, serial_s, pool_s = (statistics.median(values) for values in times.values())
    pairs = zip(times["serial"], times["pool"], strict=True)
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"{options.runs} runs of {1e3 * alone_s / options.runs:.1f} ms each")
    print(
        f"study and store add {1e3 * (serial_s - alone_s) / options.runs:.2f} ms a run, "
        f"{1e3 * statistics.median(added) / options.runs:.2f} ms of them computing"
    )
    print(f"{options.workers} processes: {ratio:.2f} times as fast as one ({pool_s:.1f} s)")
    print(f"by computing time, on free cores: {statistics.median(predicted):.2f} times")


if __name__ == "__main__":
    main()
