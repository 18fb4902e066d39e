"""V(w) = E f* σ(λ) and its slopes, a module for each kind of average."""
