"""Latency of every artifact on this machine, each alone in its own process."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

import numpy as np
import numpy.typing as npt

from resnet_edge.errors import UsageError
from resnet_edge.ondevice.cores import available_cores
from resnet_edge.ondevice.formats.sidecar import Artifact
from resnet_edge.ondevice.latency.bench_worker import BenchJob, BenchJobResult
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.ondevice.machine import describe_machine, host_file_name
from resnet_edge.ondevice.measurements import (
    ArtifactBench,
    BenchResult,
    Latency,
    preferred_latencies,
)
from resnet_edge.ondevice.parity.gates import Gates, judge_latency
from resnet_edge.ondevice.runtimes.installed import installed_runtimes
from resnet_edge.ondevice.workers.calling import run_worker
from resnet_edge.ondevice.workers.process import module_command
from resnet_edge.units import plural

WORKER = module_command("resnet_edge.ondevice.latency.bench_worker")
"""The command that measures one job."""

TIMEOUT_S = 1800.0
"""The least time limit of one measurement: 64 queries of a model at 5 s each take 320 s."""

LONGEST_QUERY_S = 5.0
"""The longest query that the time limit allows for where very many are measured."""

BenchProgress = Callable[[int, int, str], None]
"""Called with the measurements done, all of them, and the one that begins now."""


def default_threads() -> tuple[int, ...]:
    """Return the thread counts to measure: one, and all cores that this process may use."""
    return tuple(dict.fromkeys((1, available_cores())))


def time_limit_s(spec: LatencySpec) -> float:
    """Return the time after which one measurement counts as hung."""
    asked = max(spec.min_seconds, spec.min_queries * LONGEST_QUERY_S) + spec.max_warmup_s
    return max(TIMEOUT_S, 1.5 * asked)


def _thread_counts(threads: tuple[int, ...] | None) -> tuple[int, ...]:
    if threads is None:
        return default_threads()
    if not threads or min(threads) < 1:
        raise UsageError(f"thread counts {threads}: expected numbers from 1, for instance (1, 4)")
    return tuple(dict.fromkeys(threads))


def bench_path(results: Path, host: str) -> Path:
    """Return the path of a machine's record: ``bench-HOST.json``.

    Args:
        results: The folder ``OUT/results``.
        host: The machine's name; what cannot stand in a file name becomes ``-``.
    """
    return results / f"bench-{host_file_name(host)}.json"


def profile_path(results: Path, host: str) -> Path:
    """Return the path of a machine's times per operator: ``profile-HOST.json``."""
    return results / f"profile-{host_file_name(host)}.json"


def bench_artifacts(
    artifacts: Sequence[Artifact],
    spec: LatencySpec,
    gates: Gates,
    *,
    threads: tuple[int, ...] | None = None,
    reference_p50_s: float | None = None,
    picture: npt.NDArray[np.uint8] | None = None,
    progress: BenchProgress | None = None,
    timeout_s: float | None = None,
    worker: Sequence[str] = WORKER,
) -> BenchResult:
    """Measure artifacts one after another, batch 1, in every runtime for them that is here.

    Args:
        artifacts: Already compared with their sidecars.
        spec: Duration of a measurement.
        gates: Limits of the latency, if any.
        threads: Thread counts, each once; None takes ``default_threads``.
        reference_p50_s: Median latency of the reference, for relative limits.
        picture: uint8 (height, width, 3); None takes random pixels, the same everywhere.
        progress: Called before every measurement, and at the end.
        timeout_s: Limit for one measurement; None takes ``time_limit_s``.
        worker: The command that measures one job.

    Raises:
        UsageError: A thread count is below 1.
        ResnetEdgeError: A measurement failed, crashed or took too long.
    """
    counts = _thread_counts(threads)
    limit_s = time_limit_s(spec) if timeout_s is None else timeout_s
    runtimes = {artifact.name: _runtimes(artifact) for artifact in artifacts}
    total, done = sum(map(len, runtimes.values())) * len(counts), 0
    benches: list[ArtifactBench] = []
    versions: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        pixels = _save_picture(Path(folder), picture)
        for artifact in artifacts:
            latencies: list[Latency] = []
            for runtime, count in itertools.product(runtimes[artifact.name], counts):
                job = BenchJob(artifact.path.resolve(), count, spec, pixels, runtime)
                if progress is not None:
                    progress(done, total, job_words(artifact.name, job))
                result = run_bench_worker(artifact.name, job, limit_s, worker)
                versions[result.latency.runtime] = result.runtime_version
                latencies.append(result.latency)
                done += 1
            benches.append(_judged(artifact, latencies, reference_p50_s, gates))
    if progress is not None:
        progress(total, total, "")
    return BenchResult(describe_machine(versions), tuple(benches), reference_p50_s)


def _runtimes(artifact: Artifact) -> tuple[str | None, ...]:
    """Return the runtimes to measure in; None lets the worker choose, or say which is missing."""
    names = tuple(runtime.name for runtime in installed_runtimes(artifact.sidecar.format))
    return names if len(names) > 1 else (None,)


def _judged(
    artifact: Artifact, latencies: list[Latency], reference_p50_s: float | None, gates: Gates
) -> ArtifactBench:
    sidecar, measured = artifact.sidecar, tuple(latencies)
    gate = judge_latency(preferred_latencies(measured), reference_p50_s, gates)
    return ArtifactBench(artifact.name, sidecar.sha256, sidecar.bytes, measured, gate)


def _save_picture(folder: Path, picture: npt.NDArray[np.uint8] | None) -> Path | None:
    if picture is None:
        return None
    path = folder / "picture.npy"
    np.save(path, picture, allow_pickle=False)
    return path


def run_bench_worker(
    name: str, job: BenchJob, timeout_s: float, command: Sequence[str]
) -> BenchJobResult:
    """Let another process time an artifact.

    Args:
        name: The artifact's, for errors.
        job: The artifact, the runtime and the threads.
        timeout_s: Seconds after which the process is killed.
        command: The command that measures one job.

    Raises:
        ResnetEdgeError: The measurement failed; the message begins with its words.
    """
    title = job_words(name, job)
    return run_worker(command, job, BenchJobResult, title, timeout_s=timeout_s, failures_named=True)


def job_words(name: str, job: BenchJob) -> str:
    """Name a measurement, for progress and errors."""
    where = f"{name} in {job.runtime}" if job.runtime else name
    return f"{where}, {plural(job.threads, 'thread')}"
