"""What the input and the output of every exported file are called. A leaf: imports nothing."""

INPUT_NAME = "image"
OUTPUT_NAME = "probabilities"
