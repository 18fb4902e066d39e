"""SGD itself, in R^d or exactly in law (descriptions 1 and 2)."""
