"""One processor per stream app: pure steps, no I/O, no clock, no randomness."""
