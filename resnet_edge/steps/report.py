"""Merges all results into ``report.html``, ``report.md`` and ``report.json``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from resnet_edge.data.manifest import Manifest, read_manifest
from resnet_edge.display import Display, Silent
from resnet_edge.errors import ArtifactError, InferenceError, ModelError
from resnet_edge.exporting.failures import Failure, read_failures
from resnet_edge.exporting.quantization_result import QuantizationResult
from resnet_edge.layout import Layout
from resnet_edge.model.model_file import ModelInfo, read_model_info
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.formats.sidecar import (
    Artifact,
    load_artifact,
    load_artifacts,
    sidecar_path,
)
from resnet_edge.ondevice.json_records import read_record
from resnet_edge.ondevice.latency.bench import bench_path
from resnet_edge.ondevice.machine import describe_machine
from resnet_edge.ondevice.measurements import (
    ArtifactBench,
    BenchResult,
    GateResult,
    ParityResult,
    Unmeasured,
    Verdict,
)
from resnet_edge.ondevice.option import Changes
from resnet_edge.ondevice.parity.evaluation import evaluation_set
from resnet_edge.ondevice.parity.gates import LATENCY_GATES, Gates
from resnet_edge.ondevice.parity.judging import (
    AS_JUDGED,
    judge_bench_by,
    judge_parity_by,
)
from resnet_edge.ondevice.parity.metrics import confusion_rows
from resnet_edge.ondevice.reference_file import Reference, check_model, read_reference
from resnet_edge.ondevice.versions import version_of
from resnet_edge.options import Options
from resnet_edge.reporting.content import (
    ArtifactRow,
    DataSection,
    EpochPoint,
    ModelSection,
    ReferenceSection,
    ReportContent,
)
from resnet_edge.reporting.write import write_report
from resnet_edge.steps.corrupted_sections import read_corrupted
from resnet_edge.steps.device_sections import read_devices
from resnet_edge.steps.evaluation import check_alike
from resnet_edge.steps.one_writer import sole_writer
from resnet_edge.training.training_record import TrainingRecord


@dataclass(frozen=True)
class Reported:
    """The files that ``report`` wrote, and their content."""

    html: Path
    markdown: Path
    json: Path
    content: ReportContent


@sole_writer
def report(
    options: Options, display: Display | None = None, changes: Changes[Gates] = AS_JUDGED
) -> Reported:
    """Merge everything that was measured into one report. Nothing is run.

    Args:
        options: The build and the artifacts.
        display: Shows the progress.
        changes: Gates to judge the saved results by; the results' files stay as they are.

    Raises:
        ResnetEdgeError: Artifacts or results are missing, damaged or of different models.
    """
    display = display or Silent()
    content = collect(options, display, changes)
    html, markdown, data = write_report(options.out, content)
    display.say(f"report: {html}")
    return Reported(html, markdown, data, content)


def collect(
    options: Options, display: Display, changes: Changes[Gates] = AS_JUDGED
) -> ReportContent:
    """Read the report's content from the files of a build, with warnings of what is left out."""
    layout = options.layout
    artifacts, failed = _load_made(options)
    check_alike(artifacts)
    first = artifacts[0].sidecar
    parity = _read_parity(layout, changes)
    bench = _read_bench(layout, changes)
    reference = read_reference(layout.reference) if layout.reference.exists() else None
    if reference is not None:
        check_model(reference, first.model_sha256, first.name)
    training = _read_training(layout, first.model_sha256)
    manifest = read_manifest(layout.dataset) if layout.dataset.exists() else None
    quantization, left_out = _read_quantization(layout, first.model_sha256)
    devices = read_devices(layout, artifacts, changes)
    corrupted = read_corrupted(layout, artifacts, parity, changes)
    left_out += devices.left_out + corrupted.left_out
    for words in left_out:
        display.warn(words)
    return ReportContent(
        model=_model_section(artifacts[0], layout),
        data=_data_section(artifacts, manifest),
        reference=_reference_section(reference, parity),
        artifacts=tuple(
            replace(_row(artifact, parity, bench, changes), corrupted=corrupted.of(artifact.name))
            for artifact in artifacts
        ),
        corrupted=corrupted.references,
        history=_history(training),
        machine=bench.machine if bench else None,
        notes=(*_notes(training), *_advice(manifest), *left_out),
        made_by=f"resnet-edge {version_of('resnet-edge')}",
        pictures={p.sha256: p.place for p in manifest.split.test} if manifest else {},
        quantization=quantization,
        devices=devices.sections,
        failed=failed,
        refused=_refused(artifacts, parity, bench),
    )


def _load_made(options: Options) -> tuple[tuple[Artifact, ...], tuple[Failure, ...]]:
    """Read the artifacts that were made, and the reasons why others were not."""
    layout, names = options.layout, options.formats
    if names is None:
        artifacts = load_artifacts(layout.artifacts)
        return artifacts, read_failures(layout.failures, artifacts[0].sidecar.model_sha256)
    made = tuple(name for name in names if sidecar_path(layout.artifacts / name).exists())
    if not made:
        return load_artifacts(layout.artifacts, names), ()
    first = load_artifact(layout.artifacts / made[0], verify=False).sidecar
    known = read_failures(layout.failures, first.model_sha256)
    failed = tuple(failure for failure in known if failure.name in names)
    lost = {failure.name for failure in failed}
    wanted = tuple(name for name in names if name not in lost)
    return load_artifacts(layout.artifacts, wanted), failed


def _read_parity(layout: Layout, changes: Changes[Gates]) -> ParityResult | None:
    if not layout.parity.exists():
        return None
    result = read_record(ParityResult, layout.parity, InferenceError)
    return judge_parity_by(result, changes, str(layout.parity))


def _read_bench(layout: Layout, changes: Changes[Gates]) -> BenchResult | None:
    path = bench_path(layout.results, describe_machine({}).host)
    if not path.exists():
        return None
    return judge_bench_by(read_record(BenchResult, path, InferenceError), changes)


def _refused(
    artifacts: tuple[Artifact, ...], parity: ParityResult | None, bench: BenchResult | None
) -> tuple[Unmeasured, ...]:
    """Return the runtimes that did not answer, or else crashed while they were timed."""
    names = {artifact.name for artifact in artifacts}
    found = (gone for result in (bench, parity) if result is not None for gone in result.refused)
    once = {(gone.name, gone.runtime): gone for gone in found if gone.name in names}
    return tuple(once.values())


def _read_training(layout: Layout, model_sha256: str) -> TrainingRecord | None:
    """Return the training of the exported model; None if another model was exported."""
    if not layout.training.exists() or hash_path(layout.model) != model_sha256:
        return None
    return read_record(TrainingRecord, layout.training, ModelError)


def _read_quantization(
    layout: Layout, model_sha256: str
) -> tuple[QuantizationResult | None, tuple[str, ...]]:
    """Return the quantization's results; if they are of another model, a warning instead."""
    path = layout.quantization
    if not path.exists():
        return None, ()
    result = read_record(QuantizationResult, path, ArtifactError)
    if result.model_sha256 == model_sha256:
        return result, ()
    words = (
        f"{path.name} is left out: it is of model {result.model_sha256[:16]}…, this report is "
        f"about {model_sha256[:16]}…; export the integer artifacts again"
    )
    return None, (words,)


def _model_section(artifact: Artifact, layout: Layout) -> ModelSection:
    sidecar = artifact.sidecar
    info: ModelInfo | None = None
    if layout.model.exists() and hash_path(layout.model) == sidecar.model_sha256:
        info = read_model_info(layout.model)
    return ModelSection(
        name=sidecar.model_name,
        sha256=sidecar.model_sha256,
        labels=sidecar.labels,
        image_size=sidecar.image_size,
        parameters=sidecar.parameters,
        multiply_adds=sidecar.multiply_adds,
        multiply_adds_before=sidecar.multiply_adds_before,
        weights=info.weights if info else f"of the user's model {sidecar.model_name}",
        rewrites=sidecar.rewrites,
    )


def _data_section(artifacts: tuple[Artifact, ...], manifest: Manifest | None) -> DataSection:
    calibrations = [a.sidecar.calibration for a in artifacts if a.sidecar.calibration is not None]
    calibration = calibrations[0].pictures if calibrations else 0
    if manifest is None:
        return DataSection(0, 0, calibration, 0, "no pictures with labels were given")
    split = manifest.split
    return DataSection(
        train=len(split.train),
        validation=len(split.validation),
        calibration=calibration,
        test=len(split.test),
        source=manifest.root.name,
        skipped=manifest.skipped,
        split_reason=manifest.split_reason,
    )


def _advice(manifest: Manifest | None) -> tuple[str, ...]:
    """What was noticed of the pictures before the training, as sentences."""
    words = manifest.advice if manifest is not None else ()
    return tuple(f"{text[:1].upper()}{text[1:]}." for text in words)


def _reference_section(
    reference: Reference | None, parity: ParityResult | None
) -> ReferenceSection | None:
    if reference is None:
        return None
    info = reference.info
    confusion = None
    if len(reference.classes):
        answers = evaluation_set(reference).figures.answers
        confusion = confusion_rows(answers, reference.classes, len(info.labels)) or None
    return ReferenceSection(
        device=info.device,
        backend=info.backend,
        dtype=info.dtype,
        top1=parity.reference_top1 if parity and parity.images else None,
        top5=parity.reference_top5 if parity and parity.images else None,
        latency=info.latency,
        confusion=confusion,
        details=info.details,
        float32=info.float32,
        throughput=info.throughput,
        throughput_stopped=info.throughput_stopped,
        host=info.host,
        versions=info.versions,
    )


def _row(
    artifact: Artifact,
    parity: ParityResult | None,
    bench: BenchResult | None,
    changes: Changes[Gates],
) -> ArtifactRow:
    name = artifact.name
    timed = next((a for a in bench.artifacts if a.name == name), None) if bench else None
    if timed is None and not changes.names.isdisjoint(LATENCY_GATES):
        why = "a limit of the latency was given, but it was not timed; run `resnet-edge bench`"
        gate = GateResult(Verdict.INCONCLUSIVE, why)
        timed = ArtifactBench(name, artifact.sidecar.sha256, artifact.sidecar.bytes, (), gate)
    return ArtifactRow(
        artifact.sidecar,
        next((a for a in parity.artifacts if a.name == name), None) if parity else None,
        timed,
        tuple(a for a in parity.elsewhere if a.name == name) if parity else (),
    )


def _history(training: TrainingRecord | None) -> tuple[EpochPoint, ...]:
    if training is None:
        return ()
    return tuple(
        EpochPoint(
            epoch.epoch,
            epoch.phase,
            epoch.loss,
            epoch.accuracy,
            epoch.validation_loss,
            epoch.validation_accuracy,
        )
        for epoch in training.history
    )


def _notes(training: TrainingRecord | None) -> tuple[str, ...]:
    """Return notes that the report cannot derive from the results."""
    return () if training is None else (f"Trained: {training.mode}.",)
