"""The evaluator in linear time: meshes along directions of the principal subspace."""
