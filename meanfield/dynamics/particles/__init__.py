"""The mean-field equation for the law of neurons (descriptions 4 and 5)."""
