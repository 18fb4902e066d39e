"""Studies: many runs from one specification, and what they show together."""

from meanfield.studies.concentration import ConcentrationStudy, concentration_study, load_study
from meanfield.studies.rates import Rate

__all__ = ["ConcentrationStudy", "Rate", "concentration_study", "load_study"]
