"""The display of a step: lines and bars. The command line draws them; the API shows nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol


class Advance(Protocol):
    """Moves a bar: called with what is done, the total, and the figures so far in words."""

    def __call__(self, done: int, total: int, words: str = "") -> None:
        """Move the bar."""


class Display(Protocol):
    """Lines and bars that a step shows."""

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
