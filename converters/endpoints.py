"""Names of the input and the output of every exported file. This module imports nothing."""

INPUT_NAME = "image"
OUTPUT_NAME = "probabilities"
