"""The overlap equations (description 3)."""
