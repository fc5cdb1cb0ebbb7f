"""The lines that a worker writes: progress, then its result or its error."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass

from resnet_edge.errors import WorkerError
from resnet_edge.ondevice.json_records import from_json, to_json
from resnet_edge.ondevice.reading import refusing


class EventKind(enum.Enum):
    """Meaning of an event."""

    SAY = "say"
    """``text`` is a line of progress."""
    WARN = "warn"
    """``text`` is a line that a person should not miss."""
    BAR = "bar"
    """A progress bar with the title ``text`` begins."""
    ADVANCE = "advance"
    """The bar stands at ``done`` of ``total``; ``text`` has the figures so far."""
    END = "end"
    """The bar ends."""
    BEGUN = "begun"
    """The making of the things in ``names`` begins."""
    MADE = "made"
    """One of several things that the job asks for is there; ``text`` is its name."""
    LOST = "lost"
    """The things in ``names`` cannot be made; ``text``, ``error`` and ``traceback`` say why."""
    READY = "ready"
    """Something that another worker waits for is there, or cannot be made: ``text`` says why."""
    RESULT = "result"
    """The worker is done; ``text`` is the record of its result, as JSON."""
    FAILED = "failed"
    """The worker gave up; ``text`` is the error's message."""


@dataclass(frozen=True)
class WorkerEvent:
    """One line of a worker's standard output."""

    kind: EventKind
    text: str = ""
    done: int = 0
    total: int = 0
    error: str = ""
    """The name of the error's class in ``resnet_edge.errors``, of ``FAILED`` and ``LOST``."""
    traceback: str = ""
    """The worker's traceback, of ``FAILED`` and ``LOST``."""
    names: tuple[str, ...] = ()
    """The things that ``BEGUN`` and ``LOST`` are about."""


def encode_event(event: WorkerEvent) -> str:
    """Return an event as one line of JSON."""
    return json.dumps(to_json(event))


def decode_event(line: str, title: str) -> WorkerEvent:
    """Read a line that ``encode_event`` made.

    Args:
        line: From the worker's standard output.
        title: Names the worker in errors.

    Raises:
        WorkerError: The line is no event.
    """
    wanted = f"{title}: the process answered {line[:80]!r}; expected an event as JSON"
    with refusing(lambda _: WorkerError(wanted)):
        data = json.loads(line)
    return from_json(WorkerEvent, data, title, WorkerError)
