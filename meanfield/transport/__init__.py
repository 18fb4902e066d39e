"""Wasserstein distances between laws of neurons; the only room with POT."""

from meanfield.transport.distance import Distance as Distance
from meanfield.transport.distance import sliced_wasserstein as sliced_wasserstein
from meanfield.transport.distance import wasserstein as wasserstein
from meanfield.transport.finite_width import FiniteWidth as FiniteWidth
from meanfield.transport.finite_width import finite_width as finite_width
from meanfield.transport.solvers import TransportError as TransportError
