"""The evaluator for homogeneous students at k = 2: a mesh on the half-sphere."""
