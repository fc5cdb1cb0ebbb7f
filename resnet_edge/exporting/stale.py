"""The artifacts that an export has to make: those that are missing, damaged or of other inputs."""

from __future__ import annotations

from collections.abc import Mapping

from resnet_edge.errors import ArtifactError
from resnet_edge.exporting.job import ExportInputs, ExportJob
from resnet_edge.exporting.writers import QUANTIZING, WRITERS, tool_versions
from resnet_edge.ondevice.formats.kinds import Format, artifact_kind
from resnet_edge.ondevice.formats.sidecar import load_artifact, sidecar_path


def stale_jobs(formats: tuple[str, ...], inputs: ExportInputs) -> tuple[ExportJob, ...]:
    """Return one job for each file format that has something to make.

    Where an integer artifact is to be made and the quantization is not there, the format that
    quantizes has a job too, without artifacts if none of its own is stale.

    Args:
        formats: Names of the artifacts that are wanted.
        inputs: The inputs of the export.
    """
    stale = {
        format_: tuple(
            name
            for name in formats
            if artifact_kind(name).format is format_ and not is_current(inputs, name)
        )
        for format_ in WRITERS
    }
    jobs = []
    for format_, names in stale.items():
        quantizes = format_ is QUANTIZING and _must_quantize(stale, inputs)
        if names or quantizes:
            jobs.append(ExportJob(inputs, format_, names, tool_versions(format_), quantizes))
    return tuple(jobs)


def _must_quantize(stale: Mapping[Format, tuple[str, ...]], inputs: ExportInputs) -> bool:
    if inputs.integer is None:
        return False
    calibrated = {
        format_ for format_, names in stale.items() for n in names if artifact_kind(n).calibrated
    }
    return QUANTIZING in calibrated or (bool(calibrated) and not inputs.integer.quantized.exists())


def is_current(inputs: ExportInputs, name: str) -> bool:
    """Return True if an artifact is whole and was made from the same inputs by the same tools."""
    path = inputs.artifacts / name
    if not sidecar_path(path).exists():
        return False
    try:
        sidecar = load_artifact(path).sidecar
    except ArtifactError:  # damaged or half-replaced: make it again
        return False
    kind = artifact_kind(name)
    return (
        sidecar.model_sha256 == inputs.model_sha256
        and sidecar.model_name == inputs.model_name
        and sidecar.labels == inputs.labels
        and sidecar.preprocessing == inputs.preprocessing
        and sidecar.fit == inputs.fit
        and sidecar.input_shape[1:3] == inputs.size
        and sidecar.calibration == inputs.calibration_of(kind)
        and sidecar.tools == tool_versions(kind.format)
        and sidecar.options == inputs.options_of(kind)
    )
