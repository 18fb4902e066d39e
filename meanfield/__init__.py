"""How two-layer networks learn: SGD, overlap ODEs and mean-field particles in one tool."""

from importlib import import_module as _import_module
from types import ModuleType as _ModuleType

from meanfield import activations as activations
from meanfield import measures as measures
from meanfield import parallel as parallel
from meanfield import projection as projection
from meanfield import regimes as regimes
from meanfield import schedules as schedules
from meanfield import targets as targets
from meanfield import transport as transport
from meanfield import until as until
from meanfield._version import __version__ as __version__
from meanfield.dynamics.diffusion.simulate import simulate_diffusion as simulate_diffusion
from meanfield.dynamics.fluctuations.risk_band import solve_risk_band as solve_risk_band
from meanfield.dynamics.fluctuations.solve import solve_fluctuations as solve_fluctuations
from meanfield.dynamics.overlaps.solve import overlap_velocity as overlap_velocity
from meanfield.dynamics.overlaps.solve import solve_overlaps as solve_overlaps
from meanfield.dynamics.particles.solve import mean_field_velocity as mean_field_velocity
from meanfield.dynamics.particles.solve import solve_mean_field as solve_mean_field
from meanfield.dynamics.risk import population_risk as population_risk
from meanfield.dynamics.sgd.simulate import simulate_sgd as simulate_sgd
from meanfield.dynamics.solution import Solution as Solution
from meanfield.dynamics.solution import load as load
from meanfield.dynamics.state_series import StateSeries as StateSeries
from meanfield.dynamics.stationary.plateaus import Plateau as Plateau
from meanfield.dynamics.stationary.plateaus import plateaus as plateaus
from meanfield.dynamics.stationary.point import StationaryPoint as StationaryPoint
from meanfield.dynamics.stationary.point import find_stationary as find_stationary
from meanfield.integrate import Status as Status
from meanfield.integrate import linear_times as linear_times
from meanfield.integrate import logarithmic_times as logarithmic_times
from meanfield.integrate.interrupts import return_on_interrupt as return_on_interrupt
from meanfield.problem import Problem as Problem
from meanfield.regimes.budgeting import predict as predict
from meanfield.starts import aligned_measure as aligned_measure
from meanfield.starts import aligned_overlaps as aligned_overlaps
from meanfield.starts import aligned_weights as aligned_weights
from meanfield.starts import antisymmetric as antisymmetric
from meanfield.starts import gaussian_measure as gaussian_measure
from meanfield.starts import gaussian_overlaps as gaussian_overlaps
from meanfield.starts import gaussian_weights as gaussian_weights
from meanfield.starts import spherical_measure as spherical_measure
from meanfield.starts import spherical_overlaps as spherical_overlaps
from meanfield.starts import spherical_weights as spherical_weights
from meanfield.starts import warm_start as warm_start
from meanfield.states import Overlaps as Overlaps
from meanfield.states import ParticleMeasure as ParticleMeasure
from meanfield.states import Weights as Weights
from meanfield.studies import ConcentrationStudy as ConcentrationStudy
from meanfield.studies import Study as Study
from meanfield.studies import concentration_study as concentration_study
from meanfield.studies import load_study as load_study
from meanfield.targets import CommitteeTarget as CommitteeTarget
from meanfield.targets import MultiIndexTarget as MultiIndexTarget

# the rooms that are for users; every other one is open to those who look, and not shown
_ROOMS = (
    "activations", "measures", "parallel", "plotting", "projection", "regimes", "schedules",
    "studies", "targets", "transport", "until",
)  # fmt: skip


def __getattr__(name: str) -> _ModuleType:
    if name == "plotting":  # with matplotlib, which takes a second to import: only if asked for
        return _import_module("meanfield.plotting")
    raise AttributeError(f"module 'meanfield' has no attribute {name!r}")


def __dir__() -> list[str]:
    shown = (
        name
        for name, value in globals().items()
        if not name.startswith("_") and not isinstance(value, _ModuleType)
    )
    return sorted({*shown, *_ROOMS, "__version__"})
