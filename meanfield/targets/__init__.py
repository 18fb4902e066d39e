"""Targets f*: what labels the data.

All share `k`, `rank`, `basis`, `gram`, `noise`, `smooth`, a call on principal coordinates,
`second_moment()` with its `second_moment_error()`, and `parameters()`; only a committee has `link`
and `weights`.
"""

from meanfield.targets.build import Target as Target
from meanfield.targets.build import hermite_link as hermite_link
from meanfield.targets.build import parity as parity
from meanfield.targets.build import staircase as staircase
from meanfield.targets.build import target_from_parameters as target_from_parameters
from meanfield.targets.committee import CommitteeTarget as CommitteeTarget
from meanfield.targets.committee import triangular_factor as triangular_factor
from meanfield.targets.exponents import hermite_coefficients as hermite_coefficients
from meanfield.targets.exponents import information_exponent as information_exponent
from meanfield.targets.exponents import leap_index as leap_index
from meanfield.targets.multi_index import MultiIndexTarget as MultiIndexTarget
from meanfield.targets.polynomials import HermiteSeries as HermiteSeries
from meanfield.targets.polynomials import Polynomial as Polynomial
from meanfield.targets.polynomials import described_function as described_function
