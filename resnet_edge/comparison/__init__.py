"""Two builds compared by their saved results alone; nothing is run."""
