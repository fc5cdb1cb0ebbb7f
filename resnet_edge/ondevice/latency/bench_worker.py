"""The worker that measures one artifact.

It is a process of its own because a runtime that was loaded before takes memory, threads and caches
from the next one. ``resnet_edge.ondevice.latency.bench`` starts it.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resnet_edge.errors import InferenceError
from resnet_edge.ondevice.formats.sidecar import load_artifact
from resnet_edge.ondevice.latency.cpu_state import conditions_between, take_snapshot
from resnet_edge.ondevice.latency.measure import measure
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.ondevice.machine import peak_memory_bytes
from resnet_edge.ondevice.measurements import Latency
from resnet_edge.ondevice.runtimes.opening import open_runtime
from resnet_edge.ondevice.workers.serving import serve

PICTURE_SEED = 0
"""The random picture's seed: the same pixels for every artifact and every machine."""


@dataclass(frozen=True)
class BenchJob:
    """One artifact to measure, in one runtime, with one number of threads."""

    artifact: Path
    threads: int
    spec: LatencySpec
    picture: Path | None
    """A ``.npy`` file, uint8 (height, width, 3); None stands for random pixels."""
    runtime: str | None = None
    """Its name; None takes the preferred one."""


@dataclass(frozen=True)
class BenchJobResult:
    """The latency, and the version of the runtime that was measured."""

    latency: Latency
    runtime_version: str


def measure_job(job: BenchJob) -> BenchJobResult:
    """Load the artifact and time it.

    Raises:
        ResnetEdgeError: The artifact cannot be loaded or run, the picture does not fit, or the
            clock is unsound.
    """
    # The parent has compared the hash; reading the whole file here would add to the peak memory.
    # A folder, a SavedModel, can write files when it runs: it is compared again.
    artifact = load_artifact(job.artifact, verify=job.artifact.is_dir())
    picture = load_picture(job.picture, artifact.sidecar.image_size)
    start = time.perf_counter()
    runtime = open_runtime(artifact, job.threads, job.runtime)
    load_s = time.perf_counter() - start
    query = runtime.prepare(picture)
    before = take_snapshot()
    timing = measure(lambda _: query(), picture, job.spec)
    conditions = conditions_between(before, take_snapshot())
    latency = timing.latency(
        runtime.name, job.threads, load_s, peak_memory_bytes(), runtime.provider, conditions
    )
    return BenchJobResult(latency, runtime.version)


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


def main() -> int:
    """Time the artifact of the job that stands on standard input."""
    return serve(BenchJob, lambda job, _: measure_job(job))


if __name__ == "__main__":
    sys.exit(main())
