"""Kernels of `meanfield.fields`."""
