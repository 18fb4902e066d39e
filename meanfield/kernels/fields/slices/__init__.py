"""Kernels of `meanfield.fields.slices`."""
