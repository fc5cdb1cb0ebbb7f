"""Latency of every artifact on this machine, each alone in its own process."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np
import numpy.typing as npt

from resnet_edge.errors import RUNTIME_ERRORS, UsageError
from resnet_edge.ondevice.cores import available_cores
from resnet_edge.ondevice.formats.sidecar import Artifact
from resnet_edge.ondevice.latency.bench_worker import BenchJob, BenchJobResult
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.ondevice.machine import describe_machine, host_file_name
from resnet_edge.ondevice.measurements import (
    ArtifactBench,
    BenchResult,
    Latency,
    Unmeasured,
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


@dataclass(frozen=True)
class _Setup:
    """What is alike for all measurements."""

    spec: LatencySpec
    threads: tuple[int, ...]
    picture: Path | None
    timeout_s: float
    worker: Sequence[str]

    def time(
        self, artifact: Artifact, runtime: str | None, done: int, begin: Callable[[int, str], None]
    ) -> list[BenchJobResult]:
        """Measure an artifact in one runtime with every thread count.

        Args:
            artifact: The file.
            runtime: Its name; None lets the worker choose.
            done: The measurements before these.
            begin: Called before every measurement with those done and the one that begins.
        """
        results = []
        for number, count in enumerate(self.threads):
            job = BenchJob(artifact.path.resolve(), count, self.spec, self.picture, runtime)
            begin(done + number, job_words(artifact.name, job))
            results.append(run_bench_worker(artifact.name, job, self.timeout_s, self.worker))
        return results


def bench_artifacts(
    artifacts: Sequence[Artifact],
    spec: LatencySpec,
    gates: Gates,
    *,
    runtime: str | None = None,
    threads: tuple[int, ...] | None = None,
    reference_p50_s: float | None = None,
    picture: npt.NDArray[np.uint8] | None = None,
    also_in: Sequence[str] = (),
    progress: BenchProgress | None = None,
    timeout_s: float | None = None,
    worker: Sequence[str] = WORKER,
) -> BenchResult:
    """Measure artifacts one after another, batch 1, in every runtime for them that is here.

    A further runtime that refuses a file or crashes is named in the result, and the others go on.

    Args:
        artifacts: Already compared with their sidecars.
        spec: Duration of a measurement.
        gates: Limits of the latency, if any.
        runtime: The only runtime to measure in, as if no other were here; None takes all.
        threads: Thread counts, each once; None takes ``default_threads``.
        reference_p50_s: Median latency of the reference, for relative limits.
        picture: uint8 (height, width, 3); None takes random pixels, the same everywhere.
        also_in: Names of runtimes on request that are measured too.
        progress: Called before every measurement, and at the end.
        timeout_s: Limit for one measurement; None takes ``time_limit_s``.
        worker: The command that measures one job.

    Raises:
        UsageError: A thread count is below 1.
        ResnetEdgeError: A measurement in the preferred runtime, or in ``runtime``, failed, crashed
            or took too long.
    """
    counts = _thread_counts(threads)
    limit_s = time_limit_s(spec) if timeout_s is None else timeout_s
    tries = [(a, name) for a in artifacts for name in _runtimes(a, runtime, also_in)]
    total = len(tries) * len(counts)
    latencies: dict[str, list[Latency]] = {artifact.name: [] for artifact in artifacts}
    versions: dict[str, str] = {}
    refused: list[Unmeasured] = []

    def tell(done: int, words: str) -> None:
        if progress is not None:
            progress(done, total, words)

    with tempfile.TemporaryDirectory() as folder:
        setup = _Setup(spec, counts, _save_picture(Path(folder), picture), limit_s, worker)
        for place, (artifact, name) in enumerate(tries):
            try:
                timed = setup.time(artifact, name, place * len(counts), tell)
            except RUNTIME_ERRORS as problem:
                if name is None or not latencies[artifact.name]:
                    raise
                refused.append(Unmeasured(artifact.name, str(problem), name))
                versions.setdefault(name, _version(artifact, name))
                continue
            versions.update((each.latency.runtime, each.runtime_version) for each in timed)
            latencies[artifact.name] += [each.latency for each in timed]
    tell(total, "")
    benches = (judged_bench(a, tuple(latencies[a.name]), reference_p50_s, gates) for a in artifacts)
    return BenchResult(
        describe_machine(versions), tuple(benches), reference_p50_s, refused=tuple(refused)
    )


def _runtimes(artifact: Artifact, only: str | None, asked: Sequence[str]) -> tuple[str | None, ...]:
    """Return the runtimes to measure in; None lets the worker choose, or say which is missing."""
    if only is not None:
        return (only,)
    installed = installed_runtimes(artifact.sidecar.format, asked=asked)
    names = tuple(runtime.name for runtime in installed)
    return names if len(names) > 1 else (None,)


def _version(artifact: Artifact, runtime: str) -> str:
    """Return the version of an installed runtime, which also tells when to try it again."""
    found = installed_runtimes(artifact.sidecar.format, asked=(runtime,))
    return next((each.version for each in found if each.name == runtime), "")


def judged_bench(
    artifact: Artifact,
    latencies: tuple[Latency, ...],
    reference_p50_s: float | None,
    gates: Gates,
) -> ArtifactBench:
    """Return an artifact's latencies with the verdict on those in its preferred runtime.

    Args:
        artifact: The file.
        latencies: At least one; runtime by runtime, the preferred one first.
        reference_p50_s: Median latency of the reference, for relative limits.
        gates: Limits of the latency, if any.
    """
    gate = judge_latency(preferred_latencies(latencies), reference_p50_s, gates)
    sidecar = artifact.sidecar
    return ArtifactBench(artifact.name, sidecar.sha256, sidecar.bytes, latencies, gate)


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
