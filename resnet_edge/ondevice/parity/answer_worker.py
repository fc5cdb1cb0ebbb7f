"""Lets one artifact answer pictures in a process of its own.

``python -m MODULE JOB.json``: TensorFlow and TFLite runtimes cannot share one.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resnet_edge.errors import InferenceError, ResnetEdgeError, translate
from resnet_edge.ondevice.formats.sidecar import load_artifact
from resnet_edge.ondevice.json_records import from_json
from resnet_edge.ondevice.runtimes.opening import open_runtime
from resnet_edge.ondevice.workers import leave_with_parent

REPORT_EVERY = 16


@dataclass(frozen=True)
class AnswerJob:
    """Which artifact answers which pictures."""

    artifact: Path
    pictures: Path
    """``.npy``, uint8 ``(n, height, width, 3)``."""
    answers: Path
    """Where the probabilities go: ``.npy``, float32 ``(n, classes)``."""
    threads: int
    runtime: str | None = None
    """Its name; None takes the preferred one."""


def main(arguments: list[str]) -> int:
    """Answer the pictures; print how far it is, and at last the runtime's name, a line each."""
    leave_with_parent()
    report = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # runtimes greet on standard output
    try:
        job = from_json(AnswerJob, json.loads(arguments[0]), "job", InferenceError)
        runtime = open_runtime(load_artifact(job.artifact), job.threads, job.runtime)
        pictures = np.load(job.pictures, mmap_mode="r", allow_pickle=False)
        parts = []
        for start in range(0, len(pictures), REPORT_EVERY):
            parts.append(runtime.infer(pictures[start : start + REPORT_EVERY]))
            print(sum(map(len, parts)), file=report)
        np.save(job.answers, np.concatenate(parts), allow_pickle=False)
        print(runtime.title, file=report)
    except ResnetEdgeError as problem:
        print(problem, file=sys.stderr)
        return 1
    except OSError as problem:
        print(f"answers: {translate(problem)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
