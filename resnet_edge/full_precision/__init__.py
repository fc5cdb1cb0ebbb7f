"""The reference: the full-precision model's answers on the best device of a machine."""
