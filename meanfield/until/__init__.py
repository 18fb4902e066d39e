"""Conditions on which a run stops: when its risk is low enough, when it is steady, or one's own.

A condition is a value that knows nothing of the run.
"""

from meanfield.until.conditions import Condition as Condition
from meanfield.until.make import any as any
from meanfield.until.make import risk_below as risk_below
from meanfield.until.make import steady as steady
