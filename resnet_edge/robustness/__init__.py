"""Robustness: the files held against the reference on corrupted test pictures."""
