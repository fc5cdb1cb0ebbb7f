"""Smaller networks: channels that a network can do without are found, removed and made up for."""
