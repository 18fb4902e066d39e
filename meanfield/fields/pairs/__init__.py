"""Evaluators that sum over pairs of neurons."""
