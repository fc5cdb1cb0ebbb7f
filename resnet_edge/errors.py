"""Every error that resnet-edge raises on purpose.

    ResnetEdgeError             a step failed; exit code 1
    ├── UsageError              an option, a path or a configuration is wrong; exit code 2
    ├── DataError               pictures, folders, archives
    │   └── PictureError        one picture cannot be decoded
    ├── ModelError              a model or a weight file
    ├── ArtifactError           an exported file or its sidecar
    ├── ReferenceFileError      the full-precision answers
    ├── RuntimeMissingError     an inference runtime is not installed
    ├── InferenceError          a runtime refused a file or answered nonsense
    ├── RemoteError             a device on the network did not answer, or its run failed
    └── OutputError             results cannot be written

A message says what was got, what was expected, and what to do. This module also runs on the device:
standard library only.
"""

from __future__ import annotations


class ResnetEdgeError(Exception):
    """A step failed. The message is meant for a person; ``exit_code`` for a script."""

    exit_code = 1


class UsageError(ResnetEdgeError):
    """An option, a path given by the user, or a configuration is wrong."""

    exit_code = 2


class DataError(ResnetEdgeError):
    """Pictures, folders or archives that cannot be used as they are."""


class PictureError(DataError):
    """One picture that cannot be decoded."""


class ModelError(ResnetEdgeError):
    """A model or a weight file that cannot be used."""


class ArtifactError(ResnetEdgeError):
    """An exported file, or the sidecar beside it, that is missing, damaged or does not match."""


class ReferenceFileError(ResnetEdgeError):
    """The file of full-precision answers is missing, damaged or of another model."""


class RuntimeMissingError(ResnetEdgeError):
    """An inference runtime is not installed here."""


class InferenceError(ResnetEdgeError):
    """A runtime refused a file or gave an answer of the wrong shape."""


class RemoteError(ResnetEdgeError):
    """A device on the network cannot be reached, or what ran on it ended without a result."""


class OutputError(ResnetEdgeError):
    """Results cannot be written."""


def describe_os_error(problem: OSError) -> str:
    """Say what the system refused, of which file, and what to do."""
    place = f"{problem.filename}: " if problem.filename else ""
    return (
        f"{place}{problem.strerror or problem}; free some space or choose another folder with --out"
    )
