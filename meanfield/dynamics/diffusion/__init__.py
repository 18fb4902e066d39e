"""SGD as a diffusion of its overlaps (description 7)."""
