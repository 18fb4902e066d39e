"""Compiled kernels: arrays in, arrays out, in the symbols of the mathematics."""
