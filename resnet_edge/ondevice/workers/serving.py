"""The worker's side: read the job, do it, tell the parent."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TypeVar

from resnet_edge.errors import ResnetEdgeError, WorkerError, translate
from resnet_edge.ondevice.json_records import from_json, to_json
from resnet_edge.ondevice.reading import refusing
from resnet_edge.ondevice.terminal import accept_any_text
from resnet_edge.ondevice.workers.events import EventKind, WorkerEvent, encode_event
from resnet_edge.ondevice.workers.signals import end_with_parent

WATCH_PARENT = "RESNET_EDGE_WATCH_PARENT"
"""Set in the environment of a worker that has a parent, which keeps its standard input open."""

Job = TypeVar("Job")


class Reporter:
    """Tells the parent about progress; a step can use it as its display."""

    def __init__(
        self,
        send: Callable[[WorkerEvent], None],
        receive: Callable[[], str],
        poll: Callable[[], str] | None = None,
    ) -> None:
        self._send, self._receive, self._poll = send, receive, poll or receive
        self._word: str | None = None

    def say(self, text: str) -> None:
        """Show a line of progress."""
        self._send(WorkerEvent(EventKind.SAY, text))

    def warn(self, text: str) -> None:
        """Show a line that a person should not miss."""
        self._send(WorkerEvent(EventKind.WARN, text))

    def advance(self, done: int, total: int, words: str = "") -> None:
        """Move the bar to ``done`` of ``total``, with the figures so far in words."""
        self._send(WorkerEvent(EventKind.ADVANCE, words, done, total))

    def begun(self, names: tuple[str, ...]) -> None:
        """Tell that the making of some things begins: if this process dies, they were at fault."""
        self._send(WorkerEvent(EventKind.BEGUN, names=names))

    def made(self, name: str) -> None:
        """Tell that one of several things is there."""
        self._send(WorkerEvent(EventKind.MADE, name))

    def lost(self, names: tuple[str, ...], error: ResnetEdgeError) -> None:
        """Tell that some things cannot be made, from within the handler of the error."""
        kind, words = type(error).__name__, traceback.format_exc()
        self._send(
            WorkerEvent(EventKind.LOST, str(error), error=kind, traceback=words, names=names)
        )

    def ready(self, problem: str = "", places: int = 0) -> None:
        """Tell that what another worker waits for is there, or why it cannot be made.

        Args:
            problem: The reason; empty if it is there.
            places: Of a worker that takes jobs one after the other: how many it takes at a time.
        """
        self._send(WorkerEvent(EventKind.READY, problem, total=places))

    def bar(self, title: str) -> AbstractContextManager[Callable[..., None]]:
        """Show a progress bar while the context lasts."""
        return self._bar(title)

    @contextlib.contextmanager
    def _bar(self, title: str) -> Iterator[Callable[..., None]]:
        self._send(WorkerEvent(EventKind.BAR, title))
        yield self.advance
        self._send(WorkerEvent(EventKind.END))

    def next_line(self) -> str:
        """Return the next line that the parent sends; waits until it comes."""
        return self._receive()

    def line_if_any(self) -> str | None:
        """Return the next line that the parent sends; None where none is there yet."""
        with contextlib.suppress(queue.Empty):
            return self._poll()
        return None

    def wait(self) -> str:
        """Return the word that the parent sends; the first call waits until it comes."""
        if self._word is None:
            self._word = self._receive()
        return self._word


def serve(kind: type[Job], work: Callable[[Job, Reporter], object]) -> int:
    """Do the job that stands on standard input and tell the parent how it goes.

    From here on everything that is printed goes to standard error. Runtimes and converters print on
    standard output, also from C, and their lines would get among the events.

    Args:
        kind: The job's record.
        work: Does the job and returns the record of the result. Heavy imports belong into it, so
            that what they print is moved aside and what they raise is reported.

    Returns:
        The exit code: 0, or that of the error, which the parent raises again.
    """
    accept_any_text()
    sys.stdout.flush()
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    received: queue.SimpleQueue[str] = queue.SimpleQueue()
    watched = os.environ.pop(WATCH_PARENT, None) is not None  # the worker's own children are not
    if watched:
        end_with_parent()
    threading.Thread(target=_listen, args=(received, watched), daemon=True).start()

    def send(event: WorkerEvent) -> None:
        print(encode_event(event), file=events)

    try:
        job = from_json(kind, _read_job(received.get()), "job", WorkerError)
        result = work(job, Reporter(send, received.get, received.get_nowait))
        send(WorkerEvent(EventKind.RESULT, json.dumps(to_json(result))))
    except (Exception, KeyboardInterrupt) as problem:
        error = translate(problem)
        words = traceback.format_exc()
        failed = EventKind.FAILED
        send(WorkerEvent(failed, str(error), error=type(error).__name__, traceback=words))
        return error.exit_code
    return 0


def _read_job(line: str) -> object:
    with refusing(lambda _: WorkerError(f"job: got {line[:80]!r}; expected a record as JSON")):
        data: object = json.loads(line)
    return data


def _listen(received: queue.SimpleQueue[str], watched: bool) -> None:
    """Hand over the lines of standard input; end the process where its end is the parent's.

    Reads without Python's buffer, which must not be locked when the interpreter winds down.
    """
    rest = b""
    while block := os.read(0, 65536):
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            received.put(line.decode())
    if watched:
        os._exit(1)
    received.put(rest.decode())  # a job that was typed or comes from a file
    received.put("")
