"""Time of every operator on this machine: ``results/profile-HOST.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.display import Display, Silent
from resnet_edge.ondevice.formats.sidecar import Artifact, load_artifacts
from resnet_edge.ondevice.json_records import write_record
from resnet_edge.ondevice.latency.bench import TIMEOUT_S, job_words, profile_path
from resnet_edge.ondevice.latency.bench_worker import BenchJob
from resnet_edge.ondevice.machine import describe_machine
from resnet_edge.ondevice.measurements import ArtifactProfile, OperatorProfile, ProfileResult
from resnet_edge.ondevice.runtimes.kinds import cannot_profile, profiling_runtime
from resnet_edge.ondevice.versions import installed_version
from resnet_edge.ondevice.workers.calling import run_worker
from resnet_edge.ondevice.workers.process import module_command
from resnet_edge.options import Options
from resnet_edge.steps.one_writer import sole_writer

WORKER = module_command("resnet_edge.ondevice.latency.profile_worker")
"""The command that profiles the artifact of one job."""


@dataclass(frozen=True)
class Profiled:
    """The record of the profile, and its file."""

    path: Path
    result: ProfileResult


@sole_writer
def profile_operators(
    options: Options, display: Display | None = None, worker: Sequence[str] = WORKER
) -> Profiled:
    """Time the operators of every artifact whose runtime has a profiler, in processes of their own.

    The profiler itself takes time, so the operators' shares are meaningful and their sum is not the
    latency that ``bench`` measures.

    Args:
        options: The build, the artifacts, the number of queries, and thread counts (None takes 1).
        display: Shows the progress.
        worker: The command that profiles one artifact.

    Raises:
        ResnetEdgeError: See the subclass for what was wrong.
    """
    display = display or Silent()
    artifacts = load_artifacts(options.layout.artifacts, options.formats)
    counts = options.bench.threads or (1,)
    able = sum(cannot_profile(a.sidecar.format) is None for a in artifacts)
    found: list[ArtifactProfile] = []
    done = 0
    with display.bar("operators") as advance:
        for artifact in artifacts:
            reason = cannot_profile(artifact.sidecar.format)
            profiles: list[OperatorProfile] = []
            for threads in () if reason else counts:
                advance(done, able * len(counts))
                job = BenchJob(artifact.path.resolve(), threads, options.bench.spec, None)
                profiles.append(run_profile_worker(artifact.name, job, worker))
                done += 1
            found.append(_profile(artifact, profiles, reason))
    machine = describe_machine(_versions(artifacts))
    path = profile_path(options.layout.results, machine.host)
    result = ProfileResult(machine, tuple(found))
    write_record(path, result)
    return Profiled(path, result)


def run_profile_worker(name: str, job: BenchJob, worker: Sequence[str] = WORKER) -> OperatorProfile:
    """Let another process time an artifact's operators.

    Args:
        name: The artifact's, for errors.
        job: The artifact and the threads.
        worker: The command that profiles one artifact.

    Raises:
        ResnetEdgeError: The artifact cannot be loaded or run; the message begins with its name.
    """
    title = f"{job_words(name, job)}, profile"
    return run_worker(worker, job, OperatorProfile, title, timeout_s=TIMEOUT_S, failures_named=True)


def _profile(
    artifact: Artifact, profiles: list[OperatorProfile], reason: str | None
) -> ArtifactProfile:
    return ArtifactProfile(artifact.name, artifact.sidecar.sha256, tuple(profiles), reason)


def _versions(artifacts: Sequence[Artifact]) -> dict[str, str]:
    found = [profiling_runtime(format_) for format_ in {a.sidecar.format for a in artifacts}]
    return {k.name: installed_version(k.package, *k.variants) or "" for k in found if k is not None}
