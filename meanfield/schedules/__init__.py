"""Rates that change along a run: numbers as functions of the time t or of α, as values.

A schedule knows nothing of the run that reads it. Its clock says what its argument is: ``"t"``, the
time t = Σγ/(p d) of every description, or ``"alpha"``, α = ν/d, samples per dimension.
"""

from meanfield.schedules.base import Schedule as Schedule
from meanfield.schedules.make import adagrad_norm as adagrad_norm
from meanfield.schedules.make import constant as constant
from meanfield.schedules.make import cosine as cosine
from meanfield.schedules.make import exponential as exponential
from meanfield.schedules.make import function as function
from meanfield.schedules.make import piecewise as piecewise
from meanfield.schedules.make import power as power
