"""Every artifact of a bundle on this device: its answers against the reference's, its latency.

One artifact after another, each in processes of its own; one that crashes is named and the others
go on.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable

from resnet_edge.errors import OutputError, ResnetEdgeError, UsageError
from resnet_edge.ondevice.command.bundle_file import ARTIFACTS, NO_ROOM, PICTURES, REFERENCE, Bundle
from resnet_edge.ondevice.command.device_result import DeviceResult
from resnet_edge.ondevice.cores import available_cores
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.formats.sidecar import Artifact
from resnet_edge.ondevice.latency.bench import bench_artifacts, default_threads
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.ondevice.machine import describe_machine
from resnet_edge.ondevice.measurements import (
    ArtifactParity,
    BenchResult,
    Machine,
    ParityResult,
    Unmeasured,
)
from resnet_edge.ondevice.parity.answer_worker import AnswerJob
from resnet_edge.ondevice.parity.answering import answer_pictures
from resnet_edge.ondevice.parity.compare import EvaluationSet, compare_artifact, unchecked_artifact
from resnet_edge.ondevice.parity.gates import Gates, not_checked
from resnet_edge.ondevice.parity.judging import accuracy_gates
from resnet_edge.ondevice.parity.metrics import topk_hits
from resnet_edge.ondevice.reference_file import Reference
from resnet_edge.ondevice.runtimes.installed import (
    further_runtimes,
    installed_runtime,
    missing_error,
    missing_runtime,
)
from resnet_edge.ondevice.scratch import scratch_folder

Say = Callable[[str], None]
"""Shows a line of progress."""

PROGRESS_S = 10.0
"""The time between two lines of progress of one artifact's answers."""

MARGIN_BYTES = 16 << 20
"""Free space beside the unpacked files: answers, logs, and what others write meanwhile."""


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


def measure_device(bundle: Bundle, options: DeviceOptions, say: Say) -> DeviceResult:
    """Let every artifact answer the sample, judge the answers, and time it.

    Args:
        bundle: The bundle with the artifacts; all of it is compared with its hashes first.
        options: Artifacts, gates, length of the measurements.
        say: Shows a line of progress.

    Returns:
        All that was found out, also where some artifacts failed.

    Raises:
        ArtifactError: The bundle is damaged.
        RuntimeMissingError: No artifact has a runtime here.
        OutputError: There is no room for the unpacked files.
        UsageError: The bundle does not carry an artifact that was asked for.
    """
    names, left_out = _choose(bundle, options)
    for gone in left_out:
        say(f"{gone.name}: left out: {gone.reason}")
    say(f"checking {bundle.archive.name}")
    bundle.check()
    _check_room(bundle, names)
    parities: list[ArtifactParity] = []
    elsewhere: list[ArtifactParity] = []
    benches: list[BenchResult] = []
    failed = []
    with scratch_folder() as temporary:
        session = _Session(bundle, options, temporary, say)
        for name in names:
            try:
                artifact = bundle.extract_artifact(name, session.folder)
                parities.append(session.compare(artifact))
                for runtime in further_runtimes(artifact.sidecar.format):
                    elsewhere.append(session.compare(artifact, runtime))
                benches.append(session.time(artifact))
            except ResnetEdgeError as problem:
                say(f"{name}: failed: {problem}")
                failed.append(Unmeasured(name, str(problem)))
            finally:  # the next one needs the room
                for path in session.folder.glob(f"{name}*"):
                    path.unlink()
    return DeviceResult(
        bundle_sha256=hash_path(bundle.archive),
        pictures=session.reference.info.hashes,
        parity=session.parity_result(tuple(parities), tuple(elsewhere)),
        bench=BenchResult(
            _machine(benches),
            tuple(artifact for bench in benches for artifact in bench.artifacts),
            session.reference.info.latency.p50_s,
        ),
        left_out=left_out,
        failed=tuple(failed),
        emulated=options.emulated,
    )


def _choose(
    bundle: Bundle, options: DeviceOptions
) -> tuple[tuple[str, ...], tuple[Unmeasured, ...]]:
    """Return the names with a runtime here, and the others with the reason."""
    carried = bundle.manifest.artifacts
    if unknown := sorted(set(options.artifacts or ()) - set(carried)):
        raise UsageError(
            f"--artifacts: {unknown[0]} is not in this bundle; "
            f"expected some of {', '.join(carried)}"
        )
    wanted = [name for name in carried if name in (options.artifacts or carried)]
    missing = {}
    for name in wanted:
        kind = artifact_kind(name).format
        if installed_runtime(kind) is None:
            missing[name] = missing_runtime(kind)
    if len(missing) == len(wanted):
        raise missing_error(missing.values(), "nothing in this bundle can run here: ")
    names = tuple(name for name in wanted if name not in missing)
    return names, tuple(Unmeasured(name, lack.reason) for name, lack in missing.items())


def _check_room(bundle: Bundle, names: tuple[str, ...]) -> None:
    """One artifact is unpacked at a time, beside the sample."""
    members = bundle.manifest.members
    largest = max(members[f"{ARTIFACTS}/{name}"].bytes for name in names)
    needed = largest + members[PICTURES].bytes + members[REFERENCE].bytes + MARGIN_BYTES
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OutputError(
            f"{folder}: {free / 1e6:.0f} MB free; expected {needed / 1e6:.0f} MB to unpack one "
            f"artifact and the pictures; {NO_ROOM}"
        )


def _machine(benches: list[BenchResult]) -> Machine:
    """Return this device with every runtime that was used."""
    runtimes: dict[str, str] = {}
    for bench in benches:
        runtimes.update(bench.machine.runtimes)
    return describe_machine(runtimes)


class _Session:
    """The unpacked sample, and the measurements of each artifact with it."""

    def __init__(self, bundle: Bundle, options: DeviceOptions, folder: Path, say: Say) -> None:
        self.folder = folder
        self.reference: Reference = bundle.reference(folder)
        self._pictures = bundle.extract(PICTURES, folder)
        self._manifest, self._options, self._say = bundle.manifest, options, say
        info = self.reference.info
        self._evaluation = EvaluationSet(
            reference=self.reference.probabilities,
            labels=self.reference.classes,
            label_names=info.labels,
            pictures=info.pictures,
            hashes=info.hashes,
        )

    def compare(self, artifact: Artifact, runtime: str | None = None) -> ArtifactParity:
        """Compare an artifact's answers with the reference's; None takes the preferred runtime."""
        kind, sha256 = artifact_kind(artifact.name), artifact.sidecar.sha256
        if not self._evaluation.pictures:
            why = "the bundle carries no pictures: there was no test split"
            return unchecked_artifact(kind, sha256, "none", why)
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
            kind,
            sha256,
            found.runtime,
            self._evaluation,
            found.probabilities,
            self._options.gates,
        )
        gate = parity.answers_gate
        self._say(f"{name}: {gate.verdict.value}: {gate.reason}")
        return parity

    def time(self, artifact: Artifact) -> BenchResult:
        """Measure an artifact's latency with every thread count."""

        def progress(done: int, total: int, words: str) -> None:
            if words:
                self._say(f"{words}: latency, {self._options.spec.min_seconds:g} s or more")

        result = bench_artifacts(
            [artifact],
            self._options.spec,
            self._options.gates,
            threads=self._options.threads or default_threads(),
            reference_p50_s=self.reference.info.latency.p50_s,
            progress=progress,
        )
        if not self._options.emulated:
            return result
        gate = not_checked("the processor is emulated")
        return replace(result, artifacts=tuple(replace(a, gate=gate) for a in result.artifacts))

    def parity_result(
        self, artifacts: tuple[ArtifactParity, ...], elsewhere: tuple[ArtifactParity, ...]
    ) -> ParityResult:
        """Return all comparisons, with the reference's own accuracy on the sample."""
        return ParityResult(
            model_sha256=self._manifest.model_sha256,
            reference_sha256=self._manifest.reference_sha256,
            images=len(self._evaluation.pictures),
            labels=self._evaluation.label_names,
            reference_top1=self._accuracy(1),
            reference_top5=self._accuracy(5),
            artifacts=artifacts,
            gates=accuracy_gates(self._options.gates),
            elsewhere=elsewhere,
        )

    def _accuracy(self, k: int) -> float:
        if not self._evaluation.pictures:
            return float("nan")
        labels = self._evaluation.labels
        return float(topk_hits(self._evaluation.reference, labels, k).mean())
