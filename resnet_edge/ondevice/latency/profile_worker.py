"""The worker that times one artifact's operators; ``resnet_edge.steps.profile`` starts it."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from resnet_edge.errors import InferenceError
from resnet_edge.ondevice.formats.sidecar import load_artifact
from resnet_edge.ondevice.latency.bench_worker import BenchJob, load_picture
from resnet_edge.ondevice.latency.measure import measure
from resnet_edge.ondevice.latency.profiling import onnx_layers, read_profile
from resnet_edge.ondevice.measurements import OperatorProfile
from resnet_edge.ondevice.runtimes.kinds import cannot_profile, profiling_runtime
from resnet_edge.ondevice.runtimes.opening import open_runtime
from resnet_edge.ondevice.workers.serving import serve

MAX_WARMUP_S = 1.0
"""The profiler writes a kilobyte per operator and inference: a long warm-up fills the disk."""


def profile_job(job: BenchJob) -> OperatorProfile:
    """Load the artifact with its runtime's profiler on, and time ``job.spec.min_queries`` queries.

    Raises:
        ResnetEdgeError: The runtime has no profiler, or the artifact cannot be loaded or run.
    """
    artifact = load_artifact(job.artifact, verify=job.artifact.is_dir())
    kind = profiling_runtime(artifact.sidecar.format)
    if kind is None:
        raise InferenceError(f"{artifact.name}: {cannot_profile(artifact.sidecar.format)}")
    picture = load_picture(job.picture, artifact.sidecar.image_size)
    spec = replace(job.spec, min_seconds=0, max_warmup_s=min(job.spec.max_warmup_s, MAX_WARMUP_S))
    with tempfile.TemporaryDirectory() as folder:
        runtime = open_runtime(artifact, job.threads, kind.name, Path(folder))
        query = runtime.prepare(picture)
        timing = measure(lambda _: query(), picture, spec)
        written = runtime.end_profiling()
        operators = read_profile(written, 1 + timing.warmup, onnx_layers(job.artifact))
    return OperatorProfile(runtime.name, job.threads, len(timing.samples_s), operators)


def main() -> int:
    """Time the operators of the job that stands on standard input."""
    return serve(BenchJob, lambda job, _: profile_job(job))


if __name__ == "__main__":
    sys.exit(main())
