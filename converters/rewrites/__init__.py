"""Exact graph rewrites: the same function, fewer operations. Each takes any functional model."""
