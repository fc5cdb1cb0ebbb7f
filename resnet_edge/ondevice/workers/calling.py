"""The parent's side: start a worker, show its progress, return its result or raise its error."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Callable, TypeVar

from resnet_edge.errors import ResnetEdgeError, WorkerError, error_class
from resnet_edge.ondevice.json_records import from_json, to_json
from resnet_edge.ondevice.reading import refusing
from resnet_edge.ondevice.workers.events import EventKind, WorkerEvent, decode_event
from resnet_edge.ondevice.workers.process import Crew, run_process

Show = Callable[[WorkerEvent], None]
"""Shows an event of a worker's progress."""

T = TypeVar("T")


class WorkerTraceback(Exception):  # noqa: N818  it is shown as a cause and never raised
    """The traceback that a worker's process had, for ``--debug``."""


def run_worker(
    command: Sequence[str],
    job: object,
    result: type[T],
    title: str,
    *,
    show: Show | None = None,
    word: Future[str] | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    crew: Crew | None = None,
    failures_named: bool = False,
) -> T:
    """Let another process do a job.

    Args:
        command: From ``module_command``; the module calls ``serve``.
        job: The record of the job.
        result: The record that the worker answers with.
        title: Names the worker in errors.
        show: Called with every event before the result.
        word: Sent to the worker's ``Reporter.wait`` as soon as it is there.
        environment: Variables set beside this process's own.
        timeout_s: Seconds after which the process is killed.
        crew: The workers that it belongs to, where several run at a time.
        failures_named: True if the message of the worker's own error begins with ``title`` too.

    Returns:
        The worker's result.

    Raises:
        WorkerError: The process was killed, crashed, took too long, or answered nonsense.
        ResnetEdgeError: The error that the worker itself raised, of the same class.
    """
    failure: WorkerEvent | None = None
    answer: WorkerEvent | None = None
    lines = run_process(
        command,
        title,
        first=json.dumps(to_json(job)),
        word=word,
        environment=environment,
        timeout_s=timeout_s,
        crew=crew,
    )
    try:
        for line in lines:
            event = decode_event(line, title)
            if event.kind is EventKind.FAILED:
                failure = event
            elif event.kind is EventKind.RESULT:
                answer = event
            elif show is not None:
                show(event)
    except WorkerError:
        if failure is None:
            raise
    if failure is not None:
        raise told_error(failure, f"{title}: " if failures_named else "")
    if answer is None:
        raise WorkerError(f"{title}: the process ended without a result; run it again")
    with refusing(lambda reason: WorkerError(f"{title}: no result ({reason}); run it again")):
        data = json.loads(answer.text)
    return from_json(result, data, title, WorkerError)


def told_error(failure: WorkerEvent, prefix: str = "") -> ResnetEdgeError:
    """Return the error that a worker told of, with the worker's traceback as its cause.

    Args:
        failure: An event of kind ``FAILED`` or ``LOST``.
        prefix: The beginning of the message.
    """
    error = error_class(failure.error)(prefix + failure.text)
    error.__cause__ = WorkerTraceback(f"\n{failure.traceback}")
    return error
