"""Parity: every artifact's answers compared with the reference's, and judged by gates."""
