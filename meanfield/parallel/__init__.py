"""One solve split over the ranks of MPI; without MPI, on one process."""

from meanfield.parallel.rank_neurons import draw as draw
from meanfield.parallel.solve import solve_mean_field as solve_mean_field
