"""Proof: every artifact's answers against the full-precision reference, and the gates they pass."""
