"""Targets f*: what labels the data. Anyone's class is one that has what `Target` lists."""

from meanfield.targets.base import LinkUnits as LinkUnits
from meanfield.targets.base import Target as Target
from meanfield.targets.base import check_target as check_target
from meanfield.targets.base import title_of as title_of
from meanfield.targets.base import units_of as units_of
from meanfield.targets.build import hermite_link as hermite_link
from meanfield.targets.build import own_target_class as own_target_class
from meanfield.targets.build import parity as parity
from meanfield.targets.build import staircase as staircase
from meanfield.targets.build import target_from_parameters as target_from_parameters
from meanfield.targets.committee import CommitteeTarget as CommitteeTarget
from meanfield.targets.committee import triangular_factor as triangular_factor
from meanfield.targets.exponents import information_exponent as information_exponent
from meanfield.targets.exponents import leap_index as leap_index
from meanfield.targets.hermite import hermite_coefficients as hermite_coefficients
from meanfield.targets.labels import compiled_labels as compiled_labels
from meanfield.targets.labels import label_address as label_address
from meanfield.targets.multi_index import MultiIndexTarget as MultiIndexTarget
from meanfield.targets.polynomials import HermiteSeries as HermiteSeries
from meanfield.targets.polynomials import Polynomial as Polynomial
from meanfield.targets.polynomials import described_function as described_function
from meanfield.targets.potentials.choice import potential_of as potential_of
from meanfield.targets.potentials.choice import potential_of_function as potential_of_function
from meanfield.targets.potentials.choice import potential_of_units as potential_of_units
from meanfield.targets.potentials.form import Potential as Potential
from meanfield.targets.together import together as together
