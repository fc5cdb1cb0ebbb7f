"""Latency of one artifact: its measurement, the state of the machine, and what is noise."""
