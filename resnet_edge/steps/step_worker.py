"""Runs a step in a process of its own: ``python -m resnet_edge.steps.step_worker JOB.json``.

Training and the reference leave gigabytes of TensorFlow behind; a process that ends gives them back
before the next step needs them.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from resnet_edge import errors
from resnet_edge.display import Advance, Display
from resnet_edge.errors import ResnetEdgeError, WorkerError
from resnet_edge.ondevice.json_records import from_json, read_record, to_json, write_record
from resnet_edge.ondevice.workers import leave_with_parent, module_command, run_worker
from resnet_edge.options import Options

Step = Literal["finetune", "reference"]


@dataclass(frozen=True)
class StepJob:
    """Which step, and what it is told."""

    step: str
    options: Options


@dataclass(frozen=True)
class StepEvent:
    """One line of the worker's standard output."""

    kind: str
    """``say``, ``warn``, ``bar``, ``advance``, ``end``, ``done`` or ``failed``."""
    text: str = ""
    """What to show; for ``failed`` the message."""
    done: int = 0
    """For ``done`` whether something was made anew."""
    total: int = 0
    error: str = ""
    """Name of the error's class, for ``failed``."""


def run_apart(step: Step, options: Options, display: Display) -> bool:
    """Run a step in a process of its own and show here what it shows.

    Args:
        step: ``finetune`` or ``reference``.
        options: What it is told.
        display: Where its progress is shown.

    Returns:
        Whether the step had something to do.

    Raises:
        ResnetEdgeError: As the step raised it.
    """
    path = options.layout.cache / f"{step}.job.json"
    write_record(path, StepJob(step, options))
    command = module_command("resnet_edge.steps.step_worker", str(path))
    failure: ResnetEdgeError | None = None
    rebuilt = False
    try:
        with ExitStack() as bars:
            advance: Advance = _ignore
            for line in run_worker(command, step, {"TF_CPP_MIN_LOG_LEVEL": "2"}):
                event = from_json(StepEvent, json.loads(line), step, ResnetEdgeError)
                match event.kind:
                    case "say":
                        display.say(event.text)
                    case "warn":
                        display.warn(event.text)
                    case "bar":
                        advance = bars.enter_context(display.bar(event.text))
                    case "advance":
                        advance(event.done, event.total, event.text)
                    case "end":
                        bars.close()
                    case "done":
                        rebuilt = bool(event.done)
                    case _:
                        failure = errors.error_class(event.error)(event.text)
    except WorkerError as problem:
        raise failure or problem from problem
    return rebuilt


def _ignore(done: int, total: int, words: str = "") -> None:
    """No bar is drawn."""


@dataclass(frozen=True)
class _Reporter:
    """A display whose lines go to the parent."""

    report: Callable[[StepEvent], None]

    def say(self, text: str) -> None:
        self.report(StepEvent("say", text))

    def warn(self, text: str) -> None:
        self.report(StepEvent("warn", text))

    def bar(self, title: str) -> AbstractContextManager[Advance]:
        return self._bar(title)

    @contextlib.contextmanager
    def _bar(self, title: str) -> Iterator[Advance]:
        self.report(StepEvent("bar", title))

        def advance(done: int, total: int, words: str = "") -> None:
            self.report(StepEvent("advance", words, done, total))

        yield advance
        self.report(StepEvent("end"))


def main(arguments: list[str]) -> int:
    """Run the step that the job file names; report on standard output, one JSON object a line."""
    from resnet_edge.training.onednn import switch_on_onednn

    leave_with_parent()
    switch_on_onednn()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries print to standard output, which here speaks JSON

    def report(event: StepEvent) -> None:
        print(json.dumps(to_json(event)), file=answers)

    try:
        job = read_record(StepJob, Path(arguments[0]), ResnetEdgeError)
        report(StepEvent("done", done=int(_run(job, _Reporter(report)))))
    except Exception as problem:
        error = errors.translate(problem)
        report(StepEvent("failed", str(error), error=type(error).__name__))
        return 1
    return 0


def _run(job: StepJob, display: Display) -> bool:
    if job.step == "finetune":
        from resnet_edge.steps.finetune import finetune

        return finetune(job.options, display).rebuilt
    from resnet_edge.steps.reference import make_reference

    return make_reference(job.options, None, display).rebuilt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
