"""Kernels of `meanfield.activations`."""
