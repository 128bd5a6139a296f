"""Faults: whatever is killed, lost or put in the way, every workspace converges, once, and nothing leaks."""
