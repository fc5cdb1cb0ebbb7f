"""Errors of the converters.

ConversionError     a model cannot be converted
└── ChoiceError     a choice of the caller does not fit the model or the pictures
"""

from __future__ import annotations


class ConversionError(Exception):
    """A model cannot be converted; the message says what was got, expected, and what to do."""


class ChoiceError(ConversionError):
    """What the caller chose does not fit: a name that no layer has, or too few pictures."""
