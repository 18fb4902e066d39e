"""Kernels of `meanfield.fields.hemisphere`."""
