"""The artifacts that an export has to make: those that are missing, damaged or of other inputs."""

from __future__ import annotations

from resnet_edge.errors import ArtifactError
from resnet_edge.exporting.job import ExportInputs, ExportJob
from resnet_edge.exporting.writers import QUANTIZING, WRITERS, tool_versions
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.formats.sidecar import load_artifact, sidecar_path


def stale_jobs(formats: tuple[str, ...], inputs: ExportInputs) -> tuple[ExportJob, ...]:
    """Return one job for each file format that has artifacts to make.

    Where an integer artifact is to be made and the quantization is not there, a job of the format
    that quantizes comes first, without artifacts if need be.

    Args:
        formats: Names of the artifacts that are wanted.
        inputs: What they are to be made from.
    """
    jobs = []
    for format_ in WRITERS:
        wanted = tuple(name for name in formats if artifact_kind(name).format is format_)
        job = ExportJob(inputs, format_, wanted, tool_versions(format_))
        names = tuple(name for name in wanted if not is_current(job, name))
        if names:
            jobs.append(ExportJob(inputs, format_, names, job.tools))
    calibrated = {job.format for job in jobs if job.calibrated}
    if calibrated - {QUANTIZING} == calibrated != set() and not _has_quantization(inputs):
        others = [job for job in jobs if job.format is not QUANTIZING]
        known = [job for job in jobs if job.format is QUANTIZING]
        jobs = [ExportJob(inputs, QUANTIZING, (), tool_versions(QUANTIZING)), *known, *others]
    return tuple(jobs)


def _has_quantization(inputs: ExportInputs) -> bool:
    return inputs.integer is not None and inputs.integer.quantized.exists()


def is_current(job: ExportJob, name: str) -> bool:
    """Return True if an artifact is whole and was made from the same inputs by the same tools.

    Args:
        job: The job that would make it.
        name: The artifact's name.
    """
    inputs = job.inputs
    path = inputs.artifacts / name
    if not sidecar_path(path).exists():
        return False
    try:
        sidecar = load_artifact(path).sidecar
    except ArtifactError:  # damaged or half-replaced: make it again
        return False
    calibration = job.integer.calibration if artifact_kind(name).calibrated else None
    return (
        sidecar.model_sha256 == inputs.model_sha256
        and sidecar.model_name == inputs.model_name
        and sidecar.labels == inputs.labels
        and sidecar.preprocessing == inputs.preprocessing
        and sidecar.fit == inputs.fit
        and sidecar.calibration == calibration
        and sidecar.tools == job.tools
        and sidecar.options == job.options_of(name)
    )
