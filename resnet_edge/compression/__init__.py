"""Networks within a budget: what is tried, what was measured, and the file to take."""
