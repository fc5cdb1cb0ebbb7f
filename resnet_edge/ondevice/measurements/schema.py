"""The version of the records."""

SCHEMA_VERSION = 1
"""Of every file under ``results/``; a reader refuses a newer one."""
