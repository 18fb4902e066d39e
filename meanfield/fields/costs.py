"""Seconds of one core that evaluators take, written by `python -m benchmarks.costs`.

Only their ratios decide which one serves, and any choice is accurate.
"""

SECONDS = {
    "pairs erf": 3e-9,  # of a pair of neurons and a node over their overlap: its slopes
    "pairs erf values": 1e-9,  # and its potential
    "pairs relu": 8e-9,
    "pairs relu values": 1e-8,
    "series": 7e-10,  # of a pair of neurons and a term
    "slices 1": 2.5e-8,  # of a neuron, by k; at k = 3 along each direction
    "slices 2": 1.5e-7,
    "slices 3": 5e-8,
    "slices call 1": 2e-4,  # of their meshes, whatever the number of neurons
    "slices call 2": 2e-3,
    "slices call 3": 4e-3,
    "slices ratio": 0.5,  # of both where u/√(1 + r²) is all that a neuron is
    "slices nodes": 7e-10,  # of a mesh point seen from a node along a direction
    "slices layout": 1e-9,  # of the same when laid out, shared by a hundred evaluations
    "half-sphere": 2e-3,  # of its mesh
    "half-sphere layout": 9e-5,  # of an overlap, a share of laying the mesh out
    "half-sphere neuron": 2e-7,
    "polynomial": 2e-9,  # of a neuron and a monomial
    "quadrature": 1e-8,  # of a neuron and a node
}
