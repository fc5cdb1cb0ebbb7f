"""The exported files and the runtimes that there are, and the sidecar beside each file."""
