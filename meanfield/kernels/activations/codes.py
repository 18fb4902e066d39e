"""Integer codes by which compiled kernels know an activation."""

ERF = 0
RELU = 1
SQUARE = 2
LEAKY_RELU = 3
HERMITE = 4
TANH = 5
SIGMOID = 6
SOFTPLUS = 7
GELU = 8
SINE = 9
CUSTOM = 10

# whose averages over pairs of units the compiled kernels have in closed form
CLOSED_PAIRS = frozenset({ERF, RELU, SQUARE})
