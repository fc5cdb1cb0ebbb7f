"""Writes artifacts and their sidecars into the staging folder, where they are tried.

``processes`` publishes what passes (``publishing``).
"""

from __future__ import annotations

from converters.endpoints import INPUT_NAME, OUTPUT_NAME
from resnet_edge.exporting.job import ExportJob
from resnet_edge.exporting.serving_graph import ServingGraph
from resnet_edge.ondevice.files import hash_path, size_path, write_bytes
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.formats.sidecar import Sidecar, write_sidecar
from resnet_edge.ondevice.workers.serving import Reporter

DESCRIPTION = "Image classifier: raw RGB levels 0 to 255 in, class probabilities out."


def write_artifact(
    job: ExportJob,
    graph: ServingGraph,
    name: str,
    data: bytes,
    reporter: Reporter,
    findings: dict[str, str],
) -> None:
    """Write a file and its sidecar; see ``finish``."""
    write_bytes(job.inputs.staging / name, data)
    finish(job, graph, name, reporter, findings)


def finish(
    job: ExportJob,
    graph: ServingGraph,
    name: str,
    reporter: Reporter,
    findings: dict[str, str],
) -> None:
    """Write the sidecar of an artifact that has been written."""
    inputs, kind = job.inputs, artifact_kind(name)
    path = inputs.staging / name
    batch = kind.format.traits.batch
    sidecar = Sidecar(
        name=name,
        format=kind.format,
        precision=kind.precision,
        quantization=kind.quantization,
        input_name=INPUT_NAME,
        input_dtype=kind.input_dtype,
        input_shape=(batch, *graph.serving.input_shape[1:]),
        output_name=OUTPUT_NAME,
        output_dtype=kind.output_dtype,
        output_shape=(batch, len(inputs.labels)),
        preprocessing=inputs.preprocessing,
        fit=inputs.fit,
        labels=inputs.labels,
        bytes=size_path(path),
        sha256=hash_path(path),
        model_name=inputs.model_name,
        model_sha256=inputs.model_sha256,
        parameters=graph.parameters,
        multiply_adds=graph.optimized.multiply_adds,
        multiply_adds_before=graph.optimized.multiply_adds_before,
        rewrites=graph.optimized.applied,
        calibration=inputs.calibration_of(kind),
        tools=job.tools,
        options=inputs.options_of(kind),
        findings=findings,
    )
    write_sidecar(path, sidecar)
    reporter.made(name)
