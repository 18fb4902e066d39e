"""Kernels of `meanfield.fields.pairs`."""
