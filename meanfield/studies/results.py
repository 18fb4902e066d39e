"""What a study found: a record a run, and the same as arrays over the study's axes."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from meanfield import display
from meanfield.studies.observables import BANDS, COORDINATES, ERROR, RISK, named
from meanfield.studies.run import Record
from meanfield.studies.specification import Specification
from meanfield.studies.tables import ends, notes_on_runs, table_of_means

if TYPE_CHECKING:
    import xarray

REPLICA, TIME = "replica", "time"
MOST_FILLING = 1000  # times the numbers of a run that `array` makes room for, NaN for most


@dataclass(frozen=True, eq=False)
class StudyResults:
    """The runs of a study and what was kept of them.

    Attributes
    ----------
    study : Study
    records : tuple of Record
        One a run, in the study's order; those not made have the status ``"missing"``.

    Examples
    --------
    >>> import meanfield as mf
    >>> study = mf.Study(
    ...     problem=mf.Problem(mf.CommitteeTarget(k=1)),
    ...     start={"law": "gaussian_measure", "n": 50},
    ...     solver={"description": "mean_field", "t_end": 1.0, "save_at": 3},
    ...     grid={"problem.dim": [10, 100]},
    ...     replicas=2,
    ... )
    >>> results = study.run()
    >>> results.counts
    {'success': 4}
    >>> results.dims("risk"), results.array("risk").shape
    (('dim', 'replica', 'time'), (2, 2, 3))
    >>> results.table()[-1]["dim"]
    100
    """

    study: Specification
    records: tuple[Record, ...]

    def __repr__(self) -> str:
        axes = " × ".join(f"{len(values)} {name}" for name, values in self.axes.items())
        return f"<StudyResults: {self.study.name}, {axes}; {ends(self.records)}>"

    def _repr_html_(self) -> str:
        rows = {
            **{name: ", ".join(map(display.text, values)) for name, values in self.axes.items()},
            "runs": ends(self.records),
            "kept": ", ".join(self.names),
            "failures": "; ".join(f"{each.message}" for each in self.failures[:3]),
            "seed": str(self.study.seed),
        }
        return display.table(f"Study: {self.study.name}", rows)

    @property
    def complete(self) -> bool:
        """Whether every run was made and none raised an error."""
        return all(record.made for record in self.records)

    @property
    def failures(self) -> tuple[Record, ...]:
        """Runs that raised an error; each has its traceback."""
        return tuple(record for record in self.records if record.traceback)

    @property
    def counts(self) -> dict[str, int]:
        """How many runs have each status."""
        return dict(Counter(record.status for record in self.records))

    @cached_property
    def axes(self) -> dict[str, list[Any]]:
        """Names of the axes, the replica's last, and the values on each."""
        last = [axis.rpartition(".")[2] for axis in self.study.grid]
        names = [
            short if last.count(short) == 1 and short not in (REPLICA, TIME) else axis
            for short, axis in zip(last, self.study.grid, strict=True)
        ]
        axes = {name: list(v) for name, v in zip(names, self.study.grid.values(), strict=True)}
        return axes | {REPLICA: list(range(self.study.replicas))}

    @property
    def names(self) -> list[str]:
        """Of the arrays that some run has."""
        return sorted({name for record in self.records for name in record.arrays})

    def array(self, name: str) -> NDArray[Any]:
        """One observable of all runs; `dims` names its axes.

        Parameters
        ----------
        name : str
            ``"t"``, an observable, or what a reducing function returned.

        Returns
        -------
        ndarray
            NaN where a run has no value: it was not made, failed, ended early, or is smaller than
            others.

        Raises
        ------
        ValueError
            If no run has it, or the runs' arrays are too unlike to be one.
        """
        found = {
            run.index: record.arrays[name]
            for run, record in zip(self.study.runs, self.records, strict=True)
            if name in record.arrays
        }
        if (
            self._dims_behind_time(name) is not None
        ):  # of one run, beside runs of SGD, which has several
            most = max((array.ndim for array in found.values()), default=0)
            found = {i: array[None] if array.ndim < most else array for i, array in found.items()}
        shapes = [array.shape for array in found.values()]
        if not shapes:
            raise ValueError(f"name must be one of {', '.join(self.names) or 'none'}, got {name!r}")
        if len({len(shape) for shape in shapes}) > 1:
            raise ValueError(f"{name} has another number of axes in some runs: {set(shapes)}")
        inner = tuple(max(sizes) for sizes in zip(*shapes, strict=True))
        if math.prod(inner) > MOST_FILLING * max(map(math.prod, shapes)):
            raise ValueError(f"{name} is too unlike in its runs to be one array: {set(shapes)}")
        kind = np.result_type(np.float64, *(array.dtype for array in found.values()))
        out = np.full((*map(len, self.axes.values()), *inner), np.nan, dtype=kind)
        for index, array in found.items():
            place: tuple[Any, ...] = (*index, *map(slice, array.shape))
            out[place] = array
        return out

    def dims(self, name: str) -> tuple[str, ...]:
        """Names of the axes of `array`."""
        inner = self.array(name).ndim - len(self.axes)
        behind = self._dims_behind_time(name)
        if behind is None:
            return (*self.axes, *(f"{name}_{i}" for i in range(inner)))
        leading = inner - len(behind)  # time, and before it the runs of an SGD run
        return (*self.axes, *("run", TIME)[2 - leading :], *behind)

    def _dims_behind_time(self, name: str) -> tuple[str, ...] | None:
        """Axes of an array after that of time; None: a function's, whose axes have no names."""
        observable = named(name)
        if observable is not None:
            return observable.dims
        of_runs = (record.parameters.get("solver", {}) for record in self.records)  # if made
        solvers = {solver.get("description") for solver in of_runs}
        known = BANDS if solvers & {"fluctuations", "risk_band"} else {}
        return () if name in (RISK, "t") else known.get(name)

    def table(self) -> list[dict[str, Any]]:
        """One row a run: its place on the axes, seeds, status, last values, errors, versions."""
        return [self._row(run.index, r) for run, r in zip(self.study.runs, self.records,
                                                          strict=True)]  # fmt: skip

    def _row(self, index: tuple[int, ...], record: Record) -> dict[str, Any]:
        place = zip(index, self.axes.items(), strict=True)
        row: dict[str, Any] = {name: label(values[i], name) for i, (name, values) in place}
        row["seed"] = record.parameters["seeds"][0]
        row["status"], row["message"] = record.status, record.message
        for name, array in record.arrays.items():
            behind = self._dims_behind_time(name)
            if behind == () and array.size:
                row[name] = float(np.mean(array[..., -1]))
            elif behind is None and array.ndim == 0:
                row[name] = array.item()
        row |= {name: value for name, value in record.stats.items() if name.endswith(ERROR)}
        row |= {"seconds": record.seconds, "version": record.versions.get("meanfield", "")}
        return row | {"key": record.key[:32]}

    def to_csv(self) -> str:
        """The table as text, for spreadsheets and data frames."""
        rows = self.table()
        columns = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    def text(self) -> str:
        """The table for people: means over replicas with standard errors, and what went wrong."""
        study, axes = self.study, [name for name in self.axes if name != REPLICA]
        title = f"{study.name} ({study.hash[:12]}): {len(study.runs)} runs: {ends(self.records)}"
        lines = [title, "", *table_of_means(self.table(), axes), "", *notes_on_runs(self.records)]
        return "\n".join(lines).rstrip()

    @property
    def versions(self) -> list[str]:
        """Those that made the runs, each once, as text."""
        return sorted({json.dumps(r.versions, sort_keys=True) for r in self.records if r.versions})

    def to_xarray(self) -> xarray.Dataset:
        """All arrays with named dimensions and coordinates, as an `xarray.Dataset`.

        Time is a coordinate where all runs were saved at the same times. Status, seeds and error
        estimates are variables over the axes; the specification and the versions are attributes.
        Needs the extra ``xarray``.
        """
        try:
            import xarray
        except ImportError as error:
            raise ImportError("to_xarray needs xarray: pip install '.[xarray]'") from error
        variables = {name: (self.dims(name), self.array(name)) for name in self.names}
        variables |= {name: (tuple(self.axes), value) for name, value in self._per_run().items()}
        coordinates = {name: [label(v, name) for v in values] for name, values in self.axes.items()}
        used = {dim for dims, _ in variables.values() for dim in dims}
        coordinates |= {name: list(v) for name, v in COORDINATES.items() if name in used}
        times = [record.arrays["t"] for record in self.records if "t" in record.arrays]
        if times and all(np.array_equal(times[0], other) for other in times):
            coordinates[TIME] = times[0].tolist()
        attributes = {
            "study": json.dumps(self.study.parameters()),
            "hash": self.study.hash,
            "versions": "; ".join(self.versions),
        }
        return xarray.Dataset(variables, coordinates, attributes)

    def _per_run(self) -> dict[str, Any]:
        """Status, seed and error estimates, over the axes."""
        rows = self.table()
        shape = tuple(len(values) for values in self.axes.values())

        def over_axes(name: str, missing: Any, dtype: Any) -> NDArray[Any]:
            values = np.full(shape, missing, dtype=dtype)
            for run, row in zip(self.study.runs, rows, strict=True):
                values[run.index] = row.get(name, missing)
            return values

        found: dict[str, Any] = {
            "status": over_axes("status", "", object).astype(str),
            "seed": over_axes("seed", -1, np.int64),
            "seconds": over_axes("seconds", math.nan, np.float64),
        }
        for name in sorted({key for row in rows for key in row if key.endswith(ERROR)}):
            found[name] = over_axes(name, math.nan, np.float64)
        return found


def label(value: Any, axis: str = "") -> Any:
    """A value of an axis as a number or a word.

    Where it sets several places, the one that the axis is named after stands for all of them.
    """
    if value == "inf":
        return float("inf")
    if isinstance(value, Mapping):
        short = {key.rpartition(".")[2]: item for key, item in value.items()}
        if axis in short:
            return label(short[axis])
        return ", ".join(f"{key}={label(item)}" for key, item in short.items())
    return str(value) if isinstance(value, list) else value
