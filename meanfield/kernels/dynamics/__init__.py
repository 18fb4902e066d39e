"""Kernels of `meanfield.dynamics`."""
