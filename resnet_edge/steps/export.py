"""``model.keras`` to artifacts with sidecars: what has to be made, and of what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from resnet_edge.data.calibration import CalibrationSet, read_calibration
from resnet_edge.data.decoded import decode_pictures, decoded_path
from resnet_edge.data.manifest import read_manifest
from resnet_edge.display import Display, Silent
from resnet_edge.errors import ArtifactError, UsageError
from resnet_edge.exporting.converting import convert
from resnet_edge.exporting.job import ExportJob
from resnet_edge.exporting.writers import QUANTIZING, WRITERS
from resnet_edge.inspection.keras_model import read_endpoints
from resnet_edge.model.model_file import ModelInfo, read_model_info
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.formats.sidecar import (
    Artifact,
    CalibrationRecord,
    load_artifact,
    sidecar_path,
)
from resnet_edge.ondevice.machine import available_cores
from resnet_edge.ondevice.versions import version_of
from resnet_edge.options import Options, StrPath
from resnet_edge.steps.choose_pictures import (
    TRAINING_SPLIT,
    check_calibration,
    choose_pictures,
    one_class,
    read_labels,
)
from resnet_edge.steps.up_to_date import digest


@dataclass(frozen=True)
class Exported:
    """What ``export`` left behind."""

    artifacts: tuple[Artifact, ...]
    rebuilt: tuple[str, ...]
    """Names of those that were made anew; the others were up to date."""


def export(
    options: Options, model: StrPath | None = None, display: Display | None = None
) -> Exported:
    """Convert a model into every format of ``options.formats_to_make``.

    Args:
        options: Formats, calibration, and what the model expects where its file does not say.
        model: Any ``.keras`` classifier; None takes the build folder's own.
        display: Where progress is shown.

    Raises:
        ResnetEdgeError: See the subclass for what was wrong.
    """
    display = display or Silent()
    source, formats = Path(model or options.layout.model), options.formats_to_make
    base = _describe_job(options, source)
    calibration = None
    if any(artifact_kind(name).calibrated for name in formats):
        calibration = _find_calibration(options, base.labels)
        base = replace(base, calibration=_calibration_record(options, calibration))
        base = replace(base, quantized=_quantized_path(options, base))
    jobs = _with_quantization(_stale_jobs(formats, base), base)
    stale = tuple(name for job in jobs for name in job.names)
    if stale:
        if calibration and any(artifact_kind(name).calibrated for name in stale):
            check_calibration(calibration, options.quantization)
            if warning := one_class(calibration):
                display.warn(warning)
            pixels = _decode_calibration(options, source, Fit(base.fit), calibration, display)
            jobs = tuple(replace(job, pictures=pixels) for job in jobs)
        convert(jobs, display)
    else:
        display.say(f"all {len(formats)} artifacts are up to date")
    artifacts = tuple(load_artifact(base.artifacts / name) for name in formats)
    return Exported(artifacts, stale)


def _describe_job(options: Options, source: Path) -> ExportJob:
    """Everything about the model that all artifacts share."""
    info = describe_model(options, source)
    return ExportJob(
        model=source.resolve(),
        model_sha256=hash_path(source),
        model_name=info.name,
        artifacts=options.layout.artifacts.resolve(),
        format=QUANTIZING,
        names=(),
        labels=info.labels,
        preprocessing=info.preprocessing,
        fit=info.fit,
        calibration=None,
        pictures=None,
        quantization=options.quantization,
        quantized=options.layout.cache.resolve() / "none",
        findings=options.layout.quantization.resolve(),
        tools={},
        options={},
        rewrites=options.rewrites,
        threads=available_cores(),
    )


def describe_model(options: Options, source: Path) -> ModelInfo:
    """What a model file says of itself, completed and overruled by the options.

    Raises:
        UsageError: Neither the file nor the options say what the model expects.
        ModelError: It is no ``.keras`` classifier.
    """
    if not source.exists():
        raise UsageError(f"{source}: no such model; make it with `resnet-edge finetune`")
    info = read_model_info(source)
    if info is None:
        if options.model.preprocessing is None:
            raise UsageError(
                f"{source} does not say what it expects of pictures; pass --preprocessing "
                "caffe|torch|tf|unit, or none where the model normalizes pictures itself"
            )
        names = tuple(f"class {index}" for index in range(_count_classes(source)))
        info = ModelInfo(
            source.stem, names, options.model.preprocessing, options.data.fit.value, source.name
        )
    if options.model.preprocessing is not None:
        info = replace(info, preprocessing=options.model.preprocessing)
    if options.model.labels is not None:
        info = replace(info, labels=read_labels(options.model.labels, len(info.labels)))
    return info


def _stale_jobs(formats: tuple[str, ...], base: ExportJob) -> tuple[ExportJob, ...]:
    """One job for each file format that has artifacts to make."""
    jobs = []
    for format_, writer in WRITERS.items():
        job = replace(base, format=format_, tools=_tool_versions(writer.packages))
        names = tuple(
            name
            for name in formats
            if artifact_kind(name).format is format_ and not _is_current(job, name)
        )
        if names:
            jobs.append(replace(job, names=names))
    return tuple(jobs)


def _tool_versions(packages: tuple[str, ...]) -> dict[str, str]:
    return {tool: version_of(tool) for tool in ("resnet-edge", "tensorflow", "keras", *packages)}


def _with_quantization(jobs: tuple[ExportJob, ...], base: ExportJob) -> tuple[ExportJob, ...]:
    """Have the TFLite worker quantize first where only ``int8.onnx`` needs it."""
    calibrated = {
        job.format for job in jobs if any(artifact_kind(name).calibrated for name in job.names)
    }
    if not calibrated or QUANTIZING in calibrated or base.quantized.exists():
        return jobs
    tools = _tool_versions(WRITERS[QUANTIZING].packages)
    return (replace(base, format=QUANTIZING, tools=tools), *jobs)


def _quantized_path(options: Options, base: ExportJob) -> Path:
    """Named by all that the quantization depends on."""
    name = digest(
        base.model_sha256,
        base.preprocessing,
        base.calibration,
        base.rewrites,
        options.quantization.onnx_target.grid,
        _tool_versions(WRITERS[QUANTIZING].packages),
    )
    return options.layout.cache.resolve() / f"quantization-{name[:16]}.npz"


def _is_current(job: ExportJob, name: str) -> bool:
    """Whether an artifact is there, whole, and made from the same inputs by the same tools."""
    path = job.artifacts / name
    if not sidecar_path(path).exists():
        return False
    try:
        sidecar = load_artifact(path).sidecar
    except ArtifactError:  # damaged or half-replaced: make it again
        return False
    return (
        sidecar.model_sha256 == job.model_sha256
        and sidecar.model_name == job.model_name
        and sidecar.labels == job.labels
        and sidecar.preprocessing == job.preprocessing
        and sidecar.fit == job.fit
        and sidecar.calibration == (job.calibration if artifact_kind(name).calibrated else None)
        and sidecar.tools == job.tools
        and sidecar.options == job.options_of(name)
    )


def _find_calibration(options: Options, labels: tuple[str, ...]) -> CalibrationSet:
    """The pictures of ``--calibration``, or those that finetune chose."""
    layout = options.layout
    manifest = read_manifest(layout.dataset) if layout.dataset.exists() else None
    if options.calibration.calibration is not None:
        test = manifest.split.test if manifest else ()
        return choose_pictures(options.calibration, (), test, labels, layout)
    if manifest is None or not layout.calibration.exists():
        formats = [name for name in options.formats_to_make if artifact_kind(name).calibrated]
        raise UsageError(
            f"{', '.join(formats)}: need pictures to measure ranges on; pass --calibration DIR, or "
            "leave them out with --formats"
        )
    recorded = read_calibration(layout.calibration, manifest.root)
    wanted = replace(
        options.calibration,
        calibration_count=options.calibration.calibration_count or recorded.requested,
        seed=recorded.seed if options.calibration.seed is None else options.calibration.seed,
    )
    if recorded.source != TRAINING_SPLIT:
        raise UsageError(
            f"{layout.calibration}: its pictures are those of a {recorded.source}, which is not "
            "given; pass --calibration DIR again"
        )
    if (wanted.calibration_count, wanted.seed) == (recorded.requested, recorded.seed):
        return recorded
    return choose_pictures(wanted, manifest.split.train, manifest.split.test, labels, layout)


def _calibration_record(options: Options, calibration: CalibrationSet) -> CalibrationRecord:
    return CalibrationRecord(
        sha256=hash_path(options.layout.calibration),
        pictures=len(calibration.pictures),
        seed=calibration.seed,
        source=calibration.source,
        method=options.quantization.method,
    )


def _decode_calibration(
    options: Options, source: Path, fit: Fit, calibration: CalibrationSet, display: Display
) -> Path:
    """Decode the calibration pictures at the model's size into a file that workers can map."""
    size = _input_size(options, source)
    with display.bar("decoding calibration pictures") as advance:
        decode_pictures(calibration.pictures, size, fit, options.layout.cache, advance)
    return decoded_path(calibration.pictures, size, fit, options.layout.cache).resolve()


def _input_size(options: Options, source: Path) -> tuple[int, int]:
    """Height and width of the model's pictures; loads Keras only for a model made elsewhere."""
    layout = options.layout
    if source == layout.model and layout.dataset.exists():
        return read_manifest(layout.dataset).size
    return input_size(source)


def input_size(source: Path) -> tuple[int, int]:
    """Height and width a ``.keras`` classifier takes, in pixels.

    Raises:
        ModelError: It is no ``.keras`` classifier, or its size is not fixed.
    """
    inputs, _ = read_endpoints(source)
    shape = inputs[0].shape if len(inputs) == 1 else None
    if shape is None or len(shape) != 4 or None in shape[1:3]:
        from resnet_edge.model.classifiers import load_classifier

        shape = tuple(load_classifier(source).inputs[0].shape)
    height, width = (int(side) for side in shape[1:3] if side is not None)
    return height, width


def _count_classes(source: Path) -> int:
    """How many classes a classifier tells apart; loads it only where its description is silent."""
    _, outputs = read_endpoints(source)
    shape = outputs[0].shape if len(outputs) == 1 else None
    if shape is None or len(shape) != 2 or shape[1] is None or shape[1] < 2:
        from resnet_edge.model.classifiers import load_classifier

        return int(load_classifier(source).outputs[0].shape[-1])
    return int(shape[1])
