"""How two-layer networks learn: SGD, overlap ODEs and mean-field particles in one tool."""

from meanfield._version import __version__ as __version__
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
from meanfield.targets import CommitteeTarget as CommitteeTarget
