"""Averages over Gaussian inputs and spheres: rules, closed forms, Hermite expansions."""
