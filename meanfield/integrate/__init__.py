"""Ordinary differential equations y' = f(t, y): nothing here knows of neurons."""

from meanfield.integrate.adaptive import integrate
from meanfield.integrate.records import BadRate, Status, Trajectory, linear_times, logarithmic_times

__all__ = ["BadRate", "Status", "Trajectory", "integrate", "linear_times", "logarithmic_times"]
