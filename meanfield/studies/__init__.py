"""Studies: many runs from one specification, and what they show together."""

from meanfield.studies.concentration import concentration_study
from meanfield.studies.concentration_analysis import load_study
from meanfield.studies.concentration_result import ConcentrationStudy
from meanfield.studies.executors import ProcessPool, SerialExecutor
from meanfield.studies.observables import OBSERVABLES, Observable
from meanfield.studies.power_laws import Limit, Rate
from meanfield.studies.progress import Step
from meanfield.studies.results import StudyResults
from meanfield.studies.run import Record
from meanfield.studies.specification import Run
from meanfield.studies.study import Study, read_results

__all__ = [
    "OBSERVABLES",
    "ConcentrationStudy",
    "Limit",
    "Observable",
    "ProcessPool",
    "Rate",
    "Record",
    "Run",
    "SerialExecutor",
    "Step",
    "Study",
    "StudyResults",
    "concentration_study",
    "load_study",
    "read_results",
]
