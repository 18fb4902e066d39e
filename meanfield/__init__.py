"""How two-layer networks learn: SGD, overlap ODEs and mean-field particles in one tool."""

from meanfield import projection as projection
from meanfield import regimes as regimes
from meanfield import transport as transport
from meanfield._version import __version__ as __version__
from meanfield.dynamics.mean_field import mean_field_velocity as mean_field_velocity
from meanfield.dynamics.mean_field import solve_mean_field as solve_mean_field
from meanfield.dynamics.overlaps import overlap_velocity as overlap_velocity
from meanfield.dynamics.overlaps import solve_overlaps as solve_overlaps
from meanfield.dynamics.risk import population_risk as population_risk
from meanfield.dynamics.series import StateSeries as StateSeries
from meanfield.dynamics.sgd import simulate_sgd as simulate_sgd
from meanfield.dynamics.solution import Solution as Solution
from meanfield.integrate import Status as Status
from meanfield.integrate import linear_times as linear_times
from meanfield.integrate import logarithmic_times as logarithmic_times
from meanfield.problem import Problem as Problem
from meanfield.starts import gaussian_measure as gaussian_measure
from meanfield.starts import gaussian_weights as gaussian_weights
from meanfield.states import Overlaps as Overlaps
from meanfield.states import ParticleMeasure as ParticleMeasure
from meanfield.states import Weights as Weights
from meanfield.storage import load as load
from meanfield.studies import ConcentrationStudy as ConcentrationStudy
from meanfield.studies import concentration_study as concentration_study
from meanfield.studies import load_study as load_study
from meanfield.targets import CommitteeTarget as CommitteeTarget
