"""Kernels of `meanfield.gaussian`."""
