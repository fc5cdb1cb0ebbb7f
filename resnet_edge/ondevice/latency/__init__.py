"""Latency of one artifact: measuring it, the state of the machine, and how far to trust it."""
