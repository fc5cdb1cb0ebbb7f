"""Names of artifacts as a person writes them."""

from __future__ import annotations

import difflib

from resnet_edge.errors import UsageError
from resnet_edge.ondevice.formats.kinds import (
    ARTIFACT_NAMES,
    DEFAULT_NAMES,
    Format,
    artifact_kind,
)

FORMAT_WORDS = tuple(format_.value for format_ in Format if format_.value not in ARTIFACT_NAMES)
"""Words that stand for the default artifacts of a file format."""

_EXPECTED = f"expected all, {', '.join(FORMAT_WORDS)}, or some of {', '.join(ARTIFACT_NAMES)}"


def parse_formats(text: str) -> tuple[str, ...]:
    """Parse ``--formats a,b,…`` into artifact names, in the order of the tables.

    ``all`` stands for every artifact; ``tflite`` and ``onnx`` stand for those of the format that
    are made by default.

    Raises:
        UsageError: A name is unknown, or none is given.
    """
    names = {name for word in parse_names(text) for name in _artifacts_of(word)}
    if not names:
        raise UsageError(f"--formats: nothing given; {_EXPECTED}")
    return tuple(name for name in ARTIFACT_NAMES if name in names)


def _artifacts_of(word: str) -> tuple[str, ...]:
    if word == "all":
        return ARTIFACT_NAMES
    if word in FORMAT_WORDS:
        return tuple(name for name in DEFAULT_NAMES if artifact_kind(name).format.value == word)
    check_formats((word,))
    return (word,)


def check_formats(names: tuple[str, ...]) -> None:
    """Check that there is an artifact of each name.

    Raises:
        UsageError: A name is unknown; the message has the nearest one.
    """
    for name in names:
        if name not in ARTIFACT_NAMES:
            close = difflib.get_close_matches(name, ARTIFACT_NAMES, 1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise UsageError(f"--formats: no such artifact: {name}; {hint}{_EXPECTED}")


def parse_names(text: str) -> tuple[str, ...]:
    """Parse names that are separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
