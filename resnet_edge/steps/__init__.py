"""The steps of the pipeline. Each reads files and writes files; any can be run again alone."""
