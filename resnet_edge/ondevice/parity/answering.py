"""Let an artifact answer pictures in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resnet_edge.ondevice.parity.answer_worker import AnswerJob, AnswerJobResult
from resnet_edge.ondevice.workers.calling import run_worker
from resnet_edge.ondevice.workers.events import WorkerEvent
from resnet_edge.ondevice.workers.process import module_command

WORKER = module_command("resnet_edge.ondevice.parity.answer_worker")
"""The command that answers the pictures of one job."""


@dataclass(frozen=True)
class Answers:
    """The answers of one artifact in one runtime."""

    runtime: str
    """Name and version."""
    probabilities: npt.NDArray[np.float32]
    """``(n, classes)``."""


def answer_pictures(job: AnswerJob, count: Callable[[int], None]) -> Answers:
    """Let another process answer all pictures of a job.

    Args:
        job: Artifact, pictures, and the file for the answers.
        count: Called with the number of pictures that are answered so far.

    Raises:
        ResnetEdgeError: The artifact cannot be loaded or run; the message begins with its name.
    """

    def show(event: WorkerEvent) -> None:
        count(event.done)

    name = job.artifact.name
    result = run_worker(WORKER, job, AnswerJobResult, name, show=show, failures_named=True)
    return Answers(result.runtime, np.load(job.answers, allow_pickle=False))
