"""Exact graph rewrites: the same function with fewer operations, for any functional model."""
