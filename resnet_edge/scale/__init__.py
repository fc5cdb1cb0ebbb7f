"""Scale: one stage over many pictures, on one process or on many, with the same bytes."""
