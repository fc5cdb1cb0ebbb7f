"""The way of files to a device, and of its results back."""
