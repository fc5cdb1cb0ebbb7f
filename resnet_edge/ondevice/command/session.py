"""The artifacts of one bundle on this device: each in every runtime for it that is installed.

Answers and latency of one runtime are one after the other, each in a process of its own. What one
runtime refuses says nothing of the next one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable

from resnet_edge.errors import ResnetEdgeError, StoppedError
from resnet_edge.ondevice.command.bundle_file import PICTURES, Bundle
from resnet_edge.ondevice.cores import available_cores
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.formats.sidecar import Artifact
from resnet_edge.ondevice.latency.bench import bench_artifacts, default_threads, judged_bench
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.ondevice.measurements import (
    ArtifactBench,
    ArtifactParity,
    BenchResult,
    Latency,
    ParityResult,
    Unmeasured,
)
from resnet_edge.ondevice.parity.answer_worker import AnswerJob
from resnet_edge.ondevice.parity.answering import answer_pictures
from resnet_edge.ondevice.parity.compare import compare_artifact, unchecked_artifact
from resnet_edge.ondevice.parity.evaluation import evaluation_set, parity_result
from resnet_edge.ondevice.parity.gates import Gates, not_checked
from resnet_edge.ondevice.reference_file import Reference
from resnet_edge.ondevice.runtimes.installed import installed_runtimes

Say = Callable[[str], None]
"""Shows a line of progress."""

PROGRESS_S = 10.0
"""The time between two lines of progress of one artifact's answers."""


@dataclass(frozen=True)
class DeviceOptions:
    """The options of a run on the device."""

    gates: Gates
    artifacts: tuple[str, ...] | None = None
    """None takes all that the bundle carries."""
    threads: tuple[int, ...] | None = None
    """None measures 1 thread and all cores."""
    spec: LatencySpec = field(default_factory=LatencySpec)
    emulated: bool = False
    """True if this processor is emulated; latencies are not judged then."""
    also_in: tuple[str, ...] = ()
    """Names of runtimes on request."""


@dataclass(frozen=True)
class MeasuredArtifact:
    """One artifact in all runtimes."""

    answers: tuple[ArtifactParity, ...]
    """The preferred runtime's first; empty where no runtime answered."""
    bench: ArtifactBench | None
    """In the same order of runtimes; None where it was not timed in any."""
    runtimes: dict[str, str]
    """Every runtime that was tried, with its version."""
    failed: tuple[Unmeasured, ...]
    """The runtimes that refused the file or crashed."""


@dataclass(frozen=True)
class _Tried:
    """One artifact in one runtime, as far as it came."""

    parity: ArtifactParity | None
    timed: BenchResult | None
    failure: Unmeasured | None

    @property
    def latencies(self) -> tuple[Latency, ...]:
        return self.timed.artifacts[0].latencies if self.timed is not None else ()


class Session:
    """The unpacked sample, and the measurements of each artifact with it."""

    def __init__(self, bundle: Bundle, options: DeviceOptions, folder: Path, say: Say) -> None:
        self.folder = folder
        self.reference: Reference = bundle.reference(folder)
        self._pictures = bundle.extract(PICTURES, folder)
        self._manifest, self._options, self._say = bundle.manifest, options, say
        self._evaluation = evaluation_set(self.reference)

    def measure(self, artifact: Artifact) -> MeasuredArtifact:
        """Let an artifact answer and time it, in one runtime after another.

        The preferred runtime is the first that came through with the file: answered, and timed. So
        its answers and its latency are judged together. Where none came through, it is the first
        that answered; its answers are kept, and the artifact counts as failed.
        """
        runtimes = installed_runtimes(artifact.sidecar.format, asked=self._options.also_in)
        tried = [self._try(artifact, each.name, alone=len(runtimes) == 1) for each in runtimes]
        versions = {each.name: each.version for each in runtimes}
        for each in tried:
            if each.timed is not None:
                versions.update(each.timed.machine.runtimes)
        failed = tuple(each.failure for each in tried if each.failure is not None)
        tried.sort(key=lambda each: each.failure is not None)
        answers = tuple(each.parity for each in tried if each.parity is not None)
        if not self._evaluation.pictures:
            why = "the bundle carries no pictures: there was no test split"
            kind = artifact_kind(artifact.name)
            answers = (unchecked_artifact(kind, artifact.sidecar.sha256, "none", why),)
        latencies = tuple(latency for each in tried for latency in each.latencies)
        bench = self._judged(artifact, latencies) if latencies else None
        return MeasuredArtifact(answers, bench, versions, failed)

    def _try(self, artifact: Artifact, runtime: str, *, alone: bool) -> _Tried:
        """Ask and time an artifact in a runtime; an error ends the runtime's turn, not the run."""
        asked = None if alone else runtime
        parity, timed, failure = None, None, None
        try:
            if self._evaluation.pictures:
                parity = self._compare(artifact, asked)
            timed = self._time(artifact, asked)
        except StoppedError:
            raise
        except ResnetEdgeError as problem:
            failure = Unmeasured(artifact.name, str(problem), runtime)
            self._say(f"{failure.where}: failed: {problem}")
        return _Tried(parity, timed, failure)

    def _compare(self, artifact: Artifact, runtime: str | None) -> ArtifactParity:
        """Compare an artifact's answers with the reference's; None takes the only runtime."""
        answers = self.folder / f"{artifact.name}.answers.npy"
        job = AnswerJob(artifact.path, self._pictures, answers, available_cores(), runtime)
        total, told = len(self._evaluation.pictures), time.monotonic()
        name = f"{artifact.name} in {runtime}" if runtime else artifact.name
        self._say(f"{name}: answering {total} pictures")

        def count(done: int) -> None:
            nonlocal told
            if time.monotonic() - told > PROGRESS_S:
                told = time.monotonic()
                self._say(f"{name}: {done} of {total} pictures answered")

        found = answer_pictures(job, count)
        parity = compare_artifact(
            artifact_kind(artifact.name),
            artifact.sidecar.sha256,
            found.runtime,
            self._evaluation,
            found.probabilities,
            self._options.gates,
        )
        gate = parity.answers_gate
        self._say(f"{name}: {gate.verdict.value}: {gate.reason}")
        return parity

    def _time(self, artifact: Artifact, runtime: str | None) -> BenchResult:
        """Measure an artifact's latency in one runtime with every thread count."""

        def progress(done: int, total: int, words: str) -> None:
            if words:
                self._say(f"{words}: latency, {self._options.spec.min_seconds:g} s or more")

        return bench_artifacts(
            [artifact],
            self._options.spec,
            self._options.gates,
            runtime=runtime,
            threads=self._options.threads or default_threads(),
            reference_p50_s=self.reference.info.latency.p50_s,
            progress=progress,
        )

    def _judged(self, artifact: Artifact, latencies: tuple[Latency, ...]) -> ArtifactBench:
        p50_s, gates = self.reference.info.latency.p50_s, self._options.gates
        bench = judged_bench(artifact, latencies, p50_s, gates)
        if not self._options.emulated:
            return bench
        if gates.require_delegate:  # the operators' places do not depend on the emulation
            placed = replace(gates, max_p90_ms=None, max_latency_ratio=None)
            return judged_bench(artifact, latencies, p50_s, placed)
        return replace(bench, gate=not_checked("the processor is emulated"))

    def parity_result(
        self, artifacts: tuple[ArtifactParity, ...], elsewhere: tuple[ArtifactParity, ...]
    ) -> ParityResult:
        """Return all comparisons, with the reference's own accuracy on the sample."""
        return parity_result(
            self._evaluation,
            self._manifest.model_sha256,
            self._manifest.reference_sha256,
            self._options.gates,
            artifacts,
            elsewhere,
        )
