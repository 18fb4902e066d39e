"""Pictures; the only room with matplotlib."""

from meanfield.plotting.alignment import animate_alignment as animate_alignment
from meanfield.plotting.alignment import plot_alignment as plot_alignment
from meanfield.plotting.alignment import plot_alignment_histogram as plot_alignment_histogram
from meanfield.plotting.alignment import plot_alignment_law as plot_alignment_law
from meanfield.plotting.clouds import animate_neurons as animate_neurons
from meanfield.plotting.clouds import plot_cloud as plot_cloud
from meanfield.plotting.clouds import plot_neurons as plot_neurons
from meanfield.plotting.concentration import plot_concentration as plot_concentration
from meanfield.plotting.concentration import plot_curves as plot_curves
from meanfield.plotting.concentration import plot_rates as plot_rates
from meanfield.plotting.diagram import plot_phase_diagram as plot_phase_diagram
from meanfield.plotting.page import save_report as save_report
from meanfield.plotting.risk import plot_budget as plot_budget
from meanfield.plotting.risk import plot_regimes as plot_regimes
from meanfield.plotting.risk import plot_run as plot_run
from meanfield.plotting.studies import plot_study as plot_study
