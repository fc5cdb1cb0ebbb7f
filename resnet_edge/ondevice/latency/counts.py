"""Thread counts and batch sizes as a person writes them."""

from __future__ import annotations

from resnet_edge.errors import UsageError

LARGEST_BATCH = 4096


def parse_threads(text: str) -> tuple[int, ...]:
    """Parse ``--threads 1,4``.

    Raises:
        UsageError: These are not numbers from 1.
    """
    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1:
        raise UsageError(f"--threads: got {text!r}; expected numbers from 1, for instance 1,4")
    return counts


def parse_batches(text: str) -> tuple[int, ...]:
    """Parse ``--batches 1,8,32``: batch sizes in rising order, each once.

    Raises:
        UsageError: One is no whole number from 1 to ``LARGEST_BATCH``, or none is given.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or not all(w.isdecimal() and 1 <= int(w) <= LARGEST_BATCH for w in words):
        raise UsageError(
            f"--batches: got {text!r}; expected batch sizes from 1 to {LARGEST_BATCH}, separated "
            "by commas"
        )
    return tuple(sorted({int(word) for word in words}))
