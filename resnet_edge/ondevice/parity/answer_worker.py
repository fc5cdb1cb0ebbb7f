"""The worker that lets one artifact answer pictures.

It is a process of its own because TensorFlow and TFLite runtimes cannot share one.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resnet_edge.ondevice.formats.sidecar import load_artifact
from resnet_edge.ondevice.runtimes.opening import open_runtime
from resnet_edge.ondevice.workers.serving import Reporter, serve

REPORT_EVERY = 16
"""Pictures between two reports of progress."""


@dataclass(frozen=True)
class AnswerJob:
    """One artifact and the pictures that it answers."""

    artifact: Path
    pictures: Path
    """``.npy``, uint8 ``(n, height, width, 3)``."""
    answers: Path
    """The file for the probabilities: ``.npy``, float32 ``(n, classes)``."""
    threads: int
    runtime: str | None = None
    """The runtime's name; None takes the preferred one."""


@dataclass(frozen=True)
class AnswerJobResult:
    """The runtime that answered."""

    runtime: str
    """Its name and version."""


def main() -> int:
    """Answer the pictures of the job that stands on standard input."""
    return serve(AnswerJob, answer_job)


def answer_job(job: AnswerJob, reporter: Reporter) -> AnswerJobResult:
    """Answer every picture and write the probabilities.

    Raises:
        ResnetEdgeError: The artifact cannot be loaded or run.
        OSError: The pictures cannot be read or the answers cannot be written.
    """
    runtime = open_runtime(load_artifact(job.artifact), job.threads, job.runtime)
    pictures = np.load(job.pictures, mmap_mode="r", allow_pickle=False)
    parts = []
    for start in range(0, len(pictures), REPORT_EVERY):
        parts.append(runtime.infer(pictures[start : start + REPORT_EVERY]))
        reporter.advance(sum(map(len, parts)), len(pictures))
    np.save(job.answers, np.concatenate(parts), allow_pickle=False)
    return AnswerJobResult(runtime.title)


if __name__ == "__main__":
    sys.exit(main())
