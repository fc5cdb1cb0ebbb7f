"""The words and bars by which a step tells a person what it does.

The command line draws them; the Python API is silent unless it is given a display.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol


class Advance(Protocol):
    """A function that moves a bar."""

    def __call__(self, done: int, total: int, words: str = "") -> None:
        """Move the bar to ``done`` of ``total``; ``words`` are the figures so far."""


class Display(Protocol):
    """A place where steps show their progress."""

    def say(self, text: str) -> None:
        """Show a line of progress."""

    def warn(self, text: str) -> None:
        """Show a line that a person should not miss."""

    def bar(self, title: str) -> contextlib.AbstractContextManager[Advance]:
        """Show a progress bar while the context lasts."""


class Silent:
    """A display that shows nothing."""

    def say(self, text: str) -> None:
        """Show nothing."""

    def warn(self, text: str) -> None:
        """Show nothing."""

    @contextlib.contextmanager
    def bar(self, title: str) -> Iterator[Advance]:
        """Show nothing."""
        yield lambda done, total, words="": None
