"""The version of the records."""

SCHEMA_VERSION = 1
"""The version of every file under ``results/``; a reader refuses a newer one."""
