"""Studies: many runs from one specification, and what they show together."""

from meanfield.studies.concentration import concentration_study
from meanfield.studies.rates import Rate
from meanfield.studies.result import ConcentrationStudy, load_study

__all__ = ["ConcentrationStudy", "Rate", "concentration_study", "load_study"]
