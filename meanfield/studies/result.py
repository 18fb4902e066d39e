"""What a concentration study found, on disk and in memory."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.problem import Problem, problem_from_parameters
from meanfield.states import ParticleMeasure
from meanfield.storage import read_archive, write_archive
from meanfield.studies.rates import Rate, fit_rate
from meanfield.studies.report import study_table
from meanfield.studies.runs import CURVES

STUDY_FORMAT = "meanfield-concentration-study"
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ConcentrationStudy:
    """What `concentration_study` found.

    Attributes
    ----------
    problem : Problem
        At d = ∞.
    dims : ndarray, shape (m,)
        Input dimensions, increasing.
    t : ndarray, shape (T,)
        Saved times.
    curves : dict of str to ndarray, shape (m, T)
        ``"risk"``, ``"energy"``, ``"leak"``, and the leak's two parts ``"leak_variance"`` and
        ``"function_energy"``: means over replicas. See `projection.Concentration`.
    wasserstein : ndarray, shape (m,)
        W2 between the final law of neurons (a, u, r) and the one at d = ∞; NaN without d = ∞.
    sampling_error : dict of str to ndarray, shape (m,)
        Standard error over replicas of the final ``"risk"``, ``"energy"``, ``"leak"`` and
        ``"wasserstein"``.
    finals : list of ParticleMeasure
        Final measure of the first replica in each dimension.
    parameters : dict
        How the study was made.
    messages : list of str
        What runs had to say beyond success.
    """

    problem: Problem
    dims: Array
    t: Array
    curves: dict[str, Array]
    wasserstein: Array
    sampling_error: dict[str, Array]
    finals: list[ParticleMeasure]
    parameters: dict[str, Any]
    messages: list[str] = field(default_factory=list)

    def final(self, quantity: str) -> Array:
        """Values at the final time, shape (m,).

        Of ``"risk"``, ``"energy"``, ``"leak"``, ``"wasserstein"``, or ``"risk_difference"``, which
        is |R − R at d = ∞|.
        """
        checks.option(quantity, "quantity", (*CURVES, "wasserstein", "risk_difference"))
        if quantity == "wasserstein":
            return self.wasserstein
        if quantity == "risk_difference":
            if not math.isinf(self.dims[-1]):
                raise ValueError("quantity 'risk_difference' needs math.inf among the dims")
            return np.abs(self.curves["risk"][:, -1] - self.curves["risk"][-1, -1])
        return self.curves[quantity][:, -1]

    def rate(self, quantity: str) -> Rate:
        """Fitted exponent in d of a final quantity, with a 95 % interval.

        ``"risk"`` means the difference to d = ∞, which is what vanishes.

        Raises
        ------
        ValueError
            If fewer than four finite dimensions have a positive value.
        """
        name = "risk_difference" if quantity == "risk" else quantity
        return fit_rate(self.dims, self.final(name))

    def table(self) -> str:
        """One line a dimension, then the fitted slopes."""
        return study_table(self)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the study to one file; `load_study` reads it."""
        header = {
            "problem": self.problem.parameters(),
            "parameters": self.parameters,
            "messages": self.messages,
            "origins": [dict(measure.origin) for measure in self.finals],
        }
        arrays = {"dims": self.dims, "t": self.t, "wasserstein": self.wasserstein}
        arrays |= {f"curves.{name}": value for name, value in self.curves.items()}
        arrays |= {f"error.{name}": value for name, value in self.sampling_error.items()}
        for i, measure in enumerate(self.finals):
            arrays |= {f"final{i}.{name}": getattr(measure, name) for name in ("a", "u", "r")}
        return write_archive(path, STUDY_FORMAT, header, arrays)


def load_study(path: str | os.PathLike[str]) -> ConcentrationStudy:
    """Read a study that `ConcentrationStudy.save` wrote.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    ConcentrationStudy

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is damaged or not a study.
    """
    header, arrays = read_archive(path, STUDY_FORMAT)
    finals = [
        ParticleMeasure(
            arrays[f"final{i}.a"], arrays[f"final{i}.u"], arrays[f"final{i}.r"], origin=origin
        )
        for i, origin in enumerate(header["origins"])
    ]
    return ConcentrationStudy(
        problem=problem_from_parameters(header["problem"]),
        dims=arrays["dims"],
        t=arrays["t"],
        curves={name[7:]: arrays[name] for name in arrays if name.startswith("curves.")},
        wasserstein=arrays["wasserstein"],
        sampling_error={name[6:]: arrays[name] for name in arrays if name.startswith("error.")},
        finals=finals,
        parameters=header["parameters"],
        messages=header["messages"],
    )
