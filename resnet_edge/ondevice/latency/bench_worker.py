"""Measures one artifact in a process of its own: ``python -m MODULE JOB``.

A process of its own, because a runtime that was loaded before takes memory, threads and caches from
the next one. ``resnet_edge.ondevice.latency.bench`` starts it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resnet_edge.errors import InferenceError, ResnetEdgeError
from resnet_edge.ondevice.formats.sidecar import Artifact, load_artifact
from resnet_edge.ondevice.json_records import from_json, to_json
from resnet_edge.ondevice.latency.cpu_state import conditions_between, take_snapshot
from resnet_edge.ondevice.latency.measure import LatencySpec, measure
from resnet_edge.ondevice.machine import peak_memory_bytes
from resnet_edge.ondevice.measurements import Latency
from resnet_edge.ondevice.runtimes.base import Runtime
from resnet_edge.ondevice.runtimes.opening import open_runtime
from resnet_edge.ondevice.workers import leave_with_parent

PICTURE_SEED = 0
"""Of the random picture: the same pixels for every artifact and every machine."""


@dataclass(frozen=True)
class Job:
    """What to measure; it travels as JSON on the command line."""

    artifact: Path
    threads: int
    spec: LatencySpec
    picture: Path | None
    """A ``.npy`` file, uint8 (height, width, 3); None stands for random pixels."""
    runtime: str | None = None
    """Its name; None takes the preferred one."""


@dataclass(frozen=True)
class JobResult:
    """The answer, as JSON on stdout."""

    latency: Latency
    runtime_version: str


def measure_job(job: Job, load: Callable[[Artifact, int], Runtime]) -> JobResult:
    """Load the artifact and time it.

    Args:
        job: What to measure.
        load: Loads an artifact for a number of threads.

    Raises:
        ResnetEdgeError: The artifact cannot be loaded or run, the picture does not fit, or the
        clock is
            unsound.
    """
    # The parent has compared the hash; reading the whole file here would add to the peak memory.
    artifact = load_artifact(job.artifact, verify=False)
    picture = load_picture(job.picture, artifact.sidecar.image_size)
    start = time.perf_counter()
    runtime = load(artifact, job.threads)
    load_s = time.perf_counter() - start
    query = runtime.prepare(picture)
    before = take_snapshot()
    timing = measure(lambda _: query(), picture, job.spec)
    conditions = conditions_between(before, take_snapshot())
    latency = timing.latency(
        runtime.name, job.threads, load_s, peak_memory_bytes(), runtime.provider, conditions
    )
    return JobResult(latency, runtime.version)


def load_picture(path: Path | None, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Read the picture to measure with, or make one of random pixels, the same everywhere.

    Args:
        path: A ``.npy`` file; None stands for random pixels.
        size: Height and width.

    Raises:
        InferenceError: The picture is of another size or type.
    """
    shape = (*size, 3)
    if path is None:
        generator = np.random.default_rng(PICTURE_SEED)
        return generator.integers(0, 256, shape, np.uint8)
    picture: npt.NDArray[np.uint8] = np.load(path, allow_pickle=False)
    if picture.shape != shape or picture.dtype != np.uint8:
        raise InferenceError(
            f"the picture to measure with is {picture.dtype} {picture.shape}; "
            f"expected uint8 {shape}"
        )
    return picture


def main(arguments: list[str]) -> int:
    """Time the artifact of the job that ``arguments`` holds."""
    return serve(arguments, _measure)


def _measure(job: Job) -> JobResult:
    return measure_job(job, lambda artifact, threads: open_runtime(artifact, threads, job.runtime))


def serve(arguments: list[str], work: Callable[[Job], object]) -> int:
    """Do the job that ``arguments`` holds as JSON; print the answer as JSON on stdout.

    Args:
        arguments: The job is the first.
        work: Does the job and returns a record.

    Returns:
        Exit code: 0, or 1 with a message on stderr.
    """
    leave_with_parent()
    # Runtimes greet on stdout, also from C: give them stderr and keep the real one for the answer.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        job = from_json(Job, json.loads(arguments[0]), "bench job", InferenceError)
        result = work(job)
    except ResnetEdgeError as problem:
        print(problem, file=sys.stderr)
        return 1
    with answer:
        json.dump(to_json(result), answer)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
