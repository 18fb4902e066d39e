"""Loops behind `meanfield.targets`."""
