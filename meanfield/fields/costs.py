"""Seconds of one core that evaluators take, written by `python -m benchmarks.costs`.

Only their ratios decide which one serves, and any choice is accurate.
"""

SECONDS = {
    "pairs erf": 3e-9,  # of a pair of neurons and a node over their overlap
    "pairs relu": 2e-8,
    "pairs values": 6.0,  # of the potential of a pair, over that of its slopes
    "series": 1e-9,  # of a pair of neurons and a term
    "slices 1": 5e-8,  # of a neuron, by k; at k = 3 along each direction
    "slices 2": 2.5e-7,
    "slices 3": 1e-7,
    "slices nodes": 5e-10,  # of a mesh point seen from a node along a direction
    "slices layout": 1e-8,  # of the same when laid out, shared by a hundred evaluations
    "slices": 1e-3,  # of the kernels' calls
    "half-sphere": 2e-3,  # of its mesh
    "half-sphere layout": 1e-4,  # of an overlap, a share of laying the mesh out
    "half-sphere neuron": 2e-7,
    "polynomial": 1e-9,  # of a neuron and a monomial
    "quadrature": 3e-8,  # of a neuron and a node
}
