"""How a step tells a person what it does: words and bars. The command line draws them; the API is
silent.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol


class Advance(Protocol):
    """Called with how much is done and how much there is, and the figures so far in words."""

    def __call__(self, done: int, total: int, words: str = "") -> None:
        """Move the bar."""


class Display(Protocol):
    """What a step may show."""

    def say(self, text: str) -> None:
        """Show a line of progress."""

    def warn(self, text: str) -> None:
        """Show a line that a person should not miss."""

    def bar(self, title: str) -> contextlib.AbstractContextManager[Advance]:
        """Show a progress bar while the context lasts."""


class Silent:
    """Shows nothing."""

    def say(self, text: str) -> None:
        """Show nothing."""

    def warn(self, text: str) -> None:
        """Show nothing."""

    @contextlib.contextmanager
    def bar(self, title: str) -> Iterator[Advance]:
        """Show nothing."""
        yield lambda done, total, words="": None
