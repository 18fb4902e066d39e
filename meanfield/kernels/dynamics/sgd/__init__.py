"""Kernels of `meanfield.dynamics.sgd`."""
