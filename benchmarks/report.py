"""Every benchmark, one after another: ours, the baseline, the ratio, the floor and the gap.

python -m benchmarks.report [--quick] [--large]
"""

from __future__ import annotations

from benchmarks import machine, mean_field, overlaps, sgd


def main() -> None:
    print(machine.name())
    for title, section in (
        ("Mean field", mean_field.main), ("Overlap equations", overlaps.main), ("SGD", sgd.main),
    ):  # fmt: skip
        print(f"\n## {title}\n", flush=True)
        section()


if __name__ == "__main__":
    main()
