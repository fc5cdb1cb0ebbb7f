"""Thread counts as a person writes them. Runs on the device too: standard library only."""

from __future__ import annotations

from resnet_edge.errors import UsageError


def parse_threads(text: str | None) -> tuple[int, ...] | None:
    """Parse ``--threads 1,4``.

    Raises:
        UsageError: These are not numbers from 1.
    """
    if text is None:
        return None
    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1:
        raise UsageError(f"--threads: got {text!r}; expected numbers from 1, for instance 1,4")
    return counts
