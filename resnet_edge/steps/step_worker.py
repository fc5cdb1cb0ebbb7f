"""Runs a step in a process of its own.

Training and the reference leave gigabytes of TensorFlow behind; a process that ends gives them back
before the next step needs them.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

from resnet_edge.display import Advance, Display
from resnet_edge.ondevice.workers.calling import run_worker
from resnet_edge.ondevice.workers.events import EventKind, WorkerEvent
from resnet_edge.ondevice.workers.process import module_command
from resnet_edge.ondevice.workers.serving import Reporter, serve
from resnet_edge.options import Options
from resnet_edge.steps.one_writer import trusted

WORKER = module_command("resnet_edge.steps.step_worker")
"""The command that runs the step of one job."""

Step = Literal["finetune", "reference"]


@dataclass(frozen=True)
class StepJob:
    """A step and its options."""

    step: str
    """``finetune`` or ``reference``."""
    options: Options


@dataclass(frozen=True)
class StepJobResult:
    """The outcome of a step."""

    rebuilt: bool
    """True if the step had something to do."""


def run_apart(step: Step, options: Options, display: Display) -> bool:
    """Run a step in a process of its own and show here what it shows.

    Args:
        step: ``finetune`` or ``reference``.
        options: The step's options.
        display: Shows the step's progress.

    Returns:
        True if the step had something to do.

    Raises:
        ResnetEdgeError: The step's own error.
    """
    with ExitStack() as bars:
        advance: Advance = _ignore

        def show(event: WorkerEvent) -> None:
            nonlocal advance
            match event.kind:
                case EventKind.SAY:
                    display.say(event.text)
                case EventKind.WARN:
                    display.warn(event.text)
                case EventKind.BAR:
                    advance = bars.enter_context(display.bar(event.text))
                case EventKind.ADVANCE:
                    advance(event.done, event.total, event.text)
                case EventKind.END:
                    bars.close()
                case _:
                    raise AssertionError(f"a step does not tell {event.kind}")

        job = StepJob(step, options)
        environment = {"TF_CPP_MIN_LOG_LEVEL": "2"}
        done = run_worker(WORKER, job, StepJobResult, step, show=show, environment=environment)
    return done.rebuilt


def _ignore(done: int, total: int, words: str = "") -> None:
    """No bar is drawn."""


def main() -> int:
    """Run the step of the job that stands on standard input."""
    return serve(StepJob, _run)


def _run(job: StepJob, reporter: Reporter) -> StepJobResult:
    from resnet_edge.training.onednn import switch_on_onednn

    switch_on_onednn()
    with trusted(job.options.out):  # the process that waits for this one has locked it
        if job.step == "finetune":
            from resnet_edge.steps.finetune import finetune

            return StepJobResult(finetune(job.options, reporter).rebuilt)
        from resnet_edge.steps.reference import reference

        return StepJobResult(reference(job.options, None, reporter).rebuilt)


if __name__ == "__main__":
    sys.exit(main())
