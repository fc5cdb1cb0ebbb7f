"""Runs the converters, in processes of their own: TFLite in one, the other formats in another.

Both run at the same time where memory allows: for a ResNet50 they take up to 2.8 GiB each. On a
smaller machine one follows the other. The TFLite process makes the quantization that ``int8.onnx``
takes its weights from; the other one waits until it is told that the quantization is there.
"""

from __future__ import annotations

import shutil
from concurrent.futures import Future, as_completed

from resnet_edge.display import Display
from resnet_edge.exporting.job import ExportJob, ExportPlan, ExportResult
from resnet_edge.exporting.writers import QUANTIZING
from resnet_edge.ondevice.cores import available_cores
from resnet_edge.ondevice.machine import available_memory_bytes
from resnet_edge.ondevice.workers.calling import Show, run_worker
from resnet_edge.ondevice.workers.events import EventKind, WorkerEvent
from resnet_edge.ondevice.workers.process import Crew, crew_of, module_command

WORKER = module_command("resnet_edge.exporting.worker")
"""The command that makes the artifacts of one plan."""

SIDE_BY_SIDE_BYTES = 7 << 30
"""Memory that has to be free for two workers at a time."""

_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "KERAS_BACKEND": "tensorflow",
    "TF_ENABLE_ONEDNN_OPTS": "1",  # off by default on some processors, and 3 times slower then
}


def convert(jobs: tuple[ExportJob, ...], display: Display) -> None:
    """Make the artifacts of all jobs.

    Args:
        jobs: At most one for each file format, with the same inputs.
        display: Shows the progress.

    Raises:
        ResnetEdgeError: A worker failed; what the others had begun is removed.
    """
    first = tuple(job for job in jobs if job.format is QUANTIZING)
    others = tuple(job for job in jobs if job.format is not QUANTIZING)
    total = sum(len(job.names) for job in jobs)
    _forget_quantizations(first)
    written: list[str] = []
    quantized: Future[str] = Future()
    with display.bar("exporting") as advance, crew_of(workers_at_a_time()) as crew:

        def show(event: WorkerEvent) -> None:
            if event.kind is EventKind.WARN:
                display.warn(event.text)
            elif event.kind is EventKind.SAY:
                display.say(event.text)
            elif event.kind is EventKind.MADE:
                written.append(event.text)
                display.say(f"{event.text} written")
                advance(len(written), total)
            elif event.kind is EventKind.READY:
                quantized.set_result(event.text)
            elif event.kind is EventKind.ADVANCE:
                advance(event.done, event.total, event.text)

        def quantize_first() -> None:
            if first:
                _run_worker("export-tflite", ExportPlan(first), show, crew)
            if not quantized.done():  # there is one already, or none was made
                quantized.set_result("")

        running: list[Future[object]] = [crew.pool.submit(quantize_first)]
        if others:
            plan = ExportPlan(others)
            running.append(
                crew.pool.submit(_run_worker, "export-others", plan, show, crew, quantized)
            )
        try:
            for future in as_completed(running):
                future.result()
        finally:
            crew.dismiss()
            _remove_parts(jobs)


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


def _remove_parts(jobs: tuple[ExportJob, ...]) -> None:
    """Remove what killed workers, of this run or an earlier one, had begun to write."""
    for folder in {job.inputs.artifacts for job in jobs}:
        for path in folder.glob(".*.part"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _run_worker(
    name: str, plan: ExportPlan, show: Show, crew: Crew, word: Future[str] | None = None
) -> ExportResult:
    return run_worker(
        WORKER,
        plan,
        ExportResult,
        name,
        show=show,
        word=word,
        environment=_ENVIRONMENT,
        crew=crew,
    )
