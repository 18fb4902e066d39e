"""Kernels of `meanfield.dynamics.overlaps`."""
