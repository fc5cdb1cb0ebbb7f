"""Exact graph rewrites: the same function, fewer operations. Each applies to any Keras functional model."""
