"""Keeps one artifact's failure from the others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from resnet_edge.errors import OutputError, ResnetEdgeError, StoppedError, UsageError, translate
from resnet_edge.ondevice.workers.serving import Reporter


@contextlib.contextmanager
def attempt(names: tuple[str, ...], reporter: Reporter) -> Iterator[None]:
    """Make some artifacts in a worker: an error within loses these artifacts and no others.

    Args:
        names: The artifacts that cannot be made if the block fails.
        reporter: Is told of the failure.

    Raises:
        ResnetEdgeError: The failure concerns every artifact; see ``concerns_all``.
    """
    reporter.begun(names)
    try:
        yield
    except Exception as problem:
        error = translate(problem)
        if concerns_all(error):
            raise
        reporter.lost(names, error)


def concerns_all(error: ResnetEdgeError) -> bool:
    """Return True if an error ends the whole export: wrong usage, Ctrl-C, a full disk."""
    return isinstance(error, (UsageError, StoppedError, OutputError))
