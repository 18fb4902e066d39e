"""Starts: laws and draws of the neurons at time 0."""

from meanfield.starts.aligned import aligned_measure as aligned_measure
from meanfield.starts.aligned import aligned_overlaps as aligned_overlaps
from meanfield.starts.aligned import aligned_weights as aligned_weights
from meanfield.starts.draws import SAMPLINGS as SAMPLINGS
from meanfield.starts.isotropic import gaussian_measure as gaussian_measure
from meanfield.starts.isotropic import gaussian_overlaps as gaussian_overlaps
from meanfield.starts.isotropic import gaussian_weights as gaussian_weights
from meanfield.starts.isotropic import spherical_measure as spherical_measure
from meanfield.starts.isotropic import spherical_overlaps as spherical_overlaps
from meanfield.starts.isotropic import spherical_weights as spherical_weights
from meanfield.starts.warm import antisymmetric as antisymmetric
from meanfield.starts.warm import warm_start as warm_start
