"""States of a network: a measure of neurons, its overlaps, its weights.

Each gives the one below without a choice to make, Weights -> Overlaps -> ParticleMeasure, and the
one above with directions drawn or found for what it leaves open.
"""

from meanfield.states.base import State as State
from meanfield.states.base import check_state as check_state
from meanfield.states.measure import ParticleMeasure as ParticleMeasure
from meanfield.states.networks import Overlaps as Overlaps
from meanfield.states.networks import Weights as Weights
