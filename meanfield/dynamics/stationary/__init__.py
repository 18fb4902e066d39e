"""Where the flow of the overlaps stands still, and the plateaus of a run."""
