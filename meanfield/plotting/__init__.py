"""Pictures; the only room with matplotlib."""

from meanfield.plotting.concentration import plot_alignment as plot_alignment
from meanfield.plotting.concentration import plot_concentration as plot_concentration
from meanfield.plotting.phases import plot_phase_diagram as plot_phase_diagram
from meanfield.plotting.regimes import plot_regimes as plot_regimes
from meanfield.plotting.studies import plot_study as plot_study
