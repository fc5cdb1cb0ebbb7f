"""Names of artifacts as a person writes them. Runs on the device too: standard library only."""

from __future__ import annotations

import difflib

from resnet_edge.errors import UsageError
from resnet_edge.ondevice.formats.kinds import ARTIFACT_NAMES


def parse_formats(text: str) -> tuple[str, ...]:
    """Parse ``--formats a,b,…`` into artifact names, in the order of the tables.

    ``all`` stands for every artifact.

    Raises:
        UsageError: A name is unknown, or none is given.
    """
    names = parse_names(text)
    if "all" in names:
        return ARTIFACT_NAMES
    if not names:
        raise UsageError(
            f"--formats: nothing given; expected all, or some of {', '.join(ARTIFACT_NAMES)}"
        )
    check_formats(names)
    return tuple(name for name in ARTIFACT_NAMES if name in names)


def check_formats(names: tuple[str, ...]) -> None:
    """Check that there is an artifact of each name.

    Raises:
        UsageError: A name is unknown; the message has the nearest one.
    """
    for name in names:
        if name not in ARTIFACT_NAMES:
            close = difflib.get_close_matches(name, ARTIFACT_NAMES, 1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise UsageError(
                f"--formats: no such artifact: {name}; {hint}"
                f"expected all, or some of {', '.join(ARTIFACT_NAMES)}"
            )


def parse_names(text: str) -> tuple[str, ...]:
    """Parse names that are separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
