"""Errors of the converters."""

from __future__ import annotations


class ConversionError(Exception):
    """A model cannot be converted; the message says what was got, expected, and what to do."""
