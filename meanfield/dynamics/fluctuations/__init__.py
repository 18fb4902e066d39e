"""The next order of SGD beyond its overlap ODE: its scatter and its bias."""
