"""Users' own functions: known by what they capture, stored, and found again."""
