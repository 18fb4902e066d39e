"""Kernels of `meanfield.integrate`."""
