"""Every error that the converters raise on purpose.

    ConversionError              the file that was asked for was not made
    ├── RequestError             the caller's mistake: an option or the calibration pictures
    ├── ModelConversionError     the model: no such operator in the format, or values that are NaN
    └── IntermediateFileError    a file of an earlier step: missing, damaged or of another model

Only the three subclasses are raised. A message says what was got, what was expected, and what to
do. This module imports nothing.
"""

from __future__ import annotations


class ConversionError(Exception):
    """The file that was asked for was not made; the message is meant for a person."""


class RequestError(ConversionError):
    """The request itself is wrong, and another one would succeed.

    For instance no layer matches a ``--keep-float`` glob, or there are too few calibration
    pictures. A command line reports it as wrong usage.
    """


class ModelConversionError(ConversionError):
    """The model cannot be converted to this format or precision, whatever the options.

    For instance the format has no operator for a layer, or activations are NaN.
    """


class IntermediateFileError(ConversionError):
    """A file that an earlier step wrote is missing, damaged or belongs to another model.

    Running that step again mends it.
    """
