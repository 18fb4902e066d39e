"""Integer codes by which compiled kernels know an activation."""

ERF = 0
RELU = 1
SQUARE = 2
