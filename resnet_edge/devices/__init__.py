"""How a device gets its files and gives its results back."""
