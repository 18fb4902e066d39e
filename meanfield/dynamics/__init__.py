"""The descriptions of one training run, side by side; each returns a Solution."""
