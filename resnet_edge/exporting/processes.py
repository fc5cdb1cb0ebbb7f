"""Runs the converters, in processes of their own: TFLite in one, the other formats in another.

Both run at the same time where memory allows: for a ResNet50 they take up to 2.8 GiB each. On a
smaller machine one follows the other. The TFLite process makes the quantization that ``int8.onnx``
takes its weights from; the other one waits until it is told that the quantization is there.

A file that cannot be made, or cannot be run, is left out; all others are made. Where one kills its
process, another process makes the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, field, replace

from resnet_edge.display import Advance, Display
from resnet_edge.errors import ResnetEdgeError, WorkerError
from resnet_edge.exporting.attempt import concerns_all
from resnet_edge.exporting.job import ExportInputs, ExportJob, ExportPlan, ExportResult
from resnet_edge.exporting.publishing import publish, remove_artifact, remove_parts
from resnet_edge.exporting.writers import QUANTIZING
from resnet_edge.ondevice.cores import available_cores
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.machine import available_memory_bytes
from resnet_edge.ondevice.workers.calling import run_worker, told_error
from resnet_edge.ondevice.workers.events import EventKind, WorkerEvent
from resnet_edge.ondevice.workers.process import Crew, crew_of, module_command
from resnet_edge.scale.engine import TENSORFLOW

WORKER = module_command("resnet_edge.exporting.worker")
"""The command that makes the artifacts of one plan."""

SIDE_BY_SIDE_BYTES = 7 << 30
"""Memory that has to be free for two workers at a time."""

_ENVIRONMENT = {
    **TENSORFLOW,
    "PYTHONHASHSEED": "0",
    "KERAS_BACKEND": "tensorflow",
    # What is simulated needs all the bits of float32, which a GPU's TF32 has not.
    "NVIDIA_TF32_OVERRIDE": "0",
}


def convert(jobs: tuple[ExportJob, ...], display: Display) -> dict[str, ResnetEdgeError]:
    """Make the artifacts of all jobs; each is tried before it is published.

    Args:
        jobs: At most one for each file format, with the same inputs; at least one.
        display: Shows the progress.

    Returns:
        The artifacts that could not be made, with the reasons. What earlier exports left of these
        is removed.

    Raises:
        ResnetEdgeError: The whole export is at fault (see ``concerns_all``); what the workers had
            begun is removed.
    """
    first = tuple(job for job in jobs if job.format is QUANTIZING)
    others = tuple(job for job in jobs if job.format is not QUANTIZING)
    _forget_quantizations(first)
    artifacts = jobs[0].inputs.artifacts
    with display.bar("exporting") as advance, crew_of(workers_at_a_time()) as crew:
        total = sum(len(job.names) for job in jobs)
        work = _Work(display, lambda done: advance(done, total), advance, crew)

        def quantize_first() -> None:
            problem = _make(first, "export-tflite", work)
            if not work.quantized.done():  # there is one already, or it was not made
                work.quantized.set_result(_one_line(problem))

        running: list[Future[None] | Future[str]] = [
            crew.pool.submit(quantize_first),
            crew.pool.submit(_make, others, "export-others", work, work.quantized),
        ]
        try:
            for future in as_completed(running):
                future.result()
        finally:
            crew.dismiss()
            remove_parts(artifacts)
    for name in work.lost:
        remove_artifact(artifacts / name)
    return work.lost


@dataclass(frozen=True)
class _Work:
    """The state of an export; two threads add to it."""

    display: Display
    count: Callable[[int], None]
    """Shows the number of settled artifacts."""
    advance: Advance
    crew: Crew
    made: list[str] = field(default_factory=list)
    lost: dict[str, ResnetEdgeError] = field(default_factory=dict)
    quantized: Future[str] = field(default_factory=Future)
    """Done as soon as the quantization is there or not to be had; the result is the reason why
    not, on one line."""

    def is_settled(self, name: str) -> bool:
        """Return True if an artifact was made or lost."""
        return name in self.made or name in self.lost

    def publish(self, inputs: ExportInputs, name: str) -> None:
        """Try an artifact and move it to its place, or keep the reason why not."""
        try:
            publish(inputs, name, self.crew)
        except ResnetEdgeError as error:
            if concerns_all(error):
                raise
            self.lose((name,), error)
            return
        self.made.append(name)
        self.display.say(f"{name} written")
        self.count(len(self.made) + len(self.lost))

    def lose(self, names: Iterable[str], error: ResnetEdgeError) -> None:
        """Keep the reason why artifacts that are not settled yet cannot be made."""
        for name in names:
            if not self.is_settled(name):
                self.lost[name] = error
        self.count(len(self.made) + len(self.lost))


def _make(
    jobs: tuple[ExportJob, ...], title: str, work: _Work, word: Future[str] | None = None
) -> str:
    """Run a worker for some jobs; where a file kills it, another one for the rest.

    Returns:
        The last error's message; empty where no worker failed.
    """
    problem = ""
    while jobs:
        names = [name for job in jobs for name in job.names]
        begun: list[str] = []
        error: ResnetEdgeError = WorkerError("its process ended without it; run the export again")
        at_fault = names
        try:
            _run_worker(jobs, title, work, begun, word)
        except WorkerError as failure:
            if work.crew.dismissed.is_set():
                raise
            problem = str(failure).removeprefix(f"{title}: ")
            error = WorkerError(problem)
            at_fault = [name for name in begun if not work.is_settled(name)] or names
        except ResnetEdgeError as failure:
            if concerns_all(failure):
                raise
            error, problem = failure, str(failure)
        work.lose(at_fault, error)
        jobs = _unsettled(jobs, work)
    return problem


def _run_worker(
    jobs: tuple[ExportJob, ...],
    title: str,
    work: _Work,
    begun: list[str],
    word: Future[str] | None,
) -> None:
    """Run one worker.

    Args:
        jobs: At least one.
        title: Names the worker in errors.
        work: Keeps what was made and lost.
        begun: Is filled with the artifacts that the worker made last.
        word: The word that it waits for.
    """

    def show(event: WorkerEvent) -> None:
        match event.kind:
            case EventKind.WARN:
                work.display.warn(event.text)
            case EventKind.SAY:
                work.display.say(event.text)
            case EventKind.BEGUN:
                begun[:] = event.names
            case EventKind.MADE:
                work.publish(jobs[0].inputs, event.text)
            case EventKind.LOST:
                work.lose(event.names, told_error(event))
            case EventKind.READY if not work.quantized.done():
                work.quantized.set_result(_one_line(event.text))
            case EventKind.ADVANCE:
                work.advance(event.done, event.total, event.text)

    run_worker(
        *(WORKER, ExportPlan(jobs), ExportResult, title),
        show=show,
        word=word,
        environment=_ENVIRONMENT,
        crew=work.crew,
    )


def _unsettled(jobs: tuple[ExportJob, ...], work: _Work) -> tuple[ExportJob, ...]:
    """Return the jobs that are left, with what is left of them."""
    left = []
    for job in jobs:
        if names := tuple(name for name in job.names if not work.is_settled(name)):
            quantizes = job.quantizes and any(artifact_kind(name).calibrated for name in names)
            left.append(replace(job, names=names, quantizes=quantizes))
    return tuple(left)


def _one_line(text: str) -> str:
    """Return a text as workers can be told it."""
    return " ".join(text.split())


def workers_at_a_time() -> int:
    """Return 2 where memory and cores are enough for two workers side by side, else 1."""
    free = available_memory_bytes()
    roomy = free is not None and free >= SIDE_BY_SIDE_BYTES
    return 2 if roomy and available_cores() > 1 else 1


def _forget_quantizations(jobs: tuple[ExportJob, ...]) -> None:
    """Remove the quantization that is to be made anew, so that the other worker waits for it."""
    for job in jobs:
        if job.quantizes:
            job.inputs.for_integers.quantized.unlink(missing_ok=True)
