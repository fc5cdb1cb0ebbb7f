"""A device that is reached through the system's own ssh and scp."""
