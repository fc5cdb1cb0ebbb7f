"""ONNX files, all derived from one float32 file."""

from __future__ import annotations

import json
from typing import assert_never

import onnx

from converters.onnx import conversion, pool_padding
from converters.onnx.float16 import convert_float16
from converters.quantization.onnx import QuantizedOnnx, quantize_int8
from converters.quantization.onnx_own_ranges import quantize_on_own_ranges
from resnet_edge.errors import ArtifactError, ModelError
from resnet_edge.exporting import quantizing
from resnet_edge.exporting.attempt import attempt
from resnet_edge.exporting.finishing import DESCRIPTION, write_artifact
from resnet_edge.exporting.job import ExportJob
from resnet_edge.exporting.memory import return_freed_memory
from resnet_edge.exporting.serving_graph import ServingGraph
from resnet_edge.ondevice.formats.kinds import Quantization, artifact_kind
from resnet_edge.ondevice.workers.serving import Reporter


def write_onnx(job: ExportJob, graph: ServingGraph, reporter: Reporter) -> None:
    """Write the ONNX files of ``job``, telling of each that is made."""
    float32 = conversion.convert_float32(graph.serving)
    return_freed_memory()
    if job.inputs.rewrites and pool_padding.merge_pool_padding(float32):
        graph = graph.with_rewrite(pool_padding.NAME)
    for name in job.names:
        with attempt((name,), reporter):
            _write_file(job, graph, name, float32, reporter)


def _write_file(
    job: ExportJob, graph: ServingGraph, name: str, float32: onnx.ModelProto, reporter: Reporter
) -> None:
    found: dict[str, str] = {}
    match artifact_kind(name).quantization:
        case Quantization.NONE:
            model = float32
        case Quantization.FLOAT16_WEIGHTS:
            model = convert_float16(float32)
        case Quantization.STATIC:
            model, found = _quantize(job, name, float32, reporter)
            conversion.use_uint8_input(model)
        case (
            Quantization.DYNAMIC | Quantization.INTEGER_ONLY | Quantization.INT16_ACTIVATIONS
        ) as other:
            raise ArtifactError(f"{name}: no ONNX file with {other.value} is made here")
        case other:
            assert_never(other)
    conversion.add_metadata(model, _onnx_properties(job, name))
    write_artifact(job, graph, name, conversion.serialize(model), reporter, found)


def _quantize(
    job: ExportJob, name: str, float32: onnx.ModelProto, reporter: Reporter
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Return the int8 model with the findings of its quantization.

    Without a quantization of the TFLite file, for instance because TFLite lacks an operator, the
    ranges are of its own.
    """
    target = job.inputs.for_integers.options.onnx_target
    pictures = quantizing.calibration_pictures(job)
    found = {"processor": f"{target}: {target.reason}"}
    try:
        quantized = quantizing.load_quantized(job, reporter)
    except ModelError as problem:
        result = QuantizedOnnx(quantize_on_own_ranges(float32, pictures, target), str(problem))
    else:
        result = quantize_int8(float32, quantized.calibrated, pictures, target)
        found = {**quantized.findings, **found}
    if result.own_ranges:
        found["ranges of its own"] = result.own_ranges
        reporter.warn(f"{name}: {result.own_ranges}; quantized on ranges of its own")
    return result.model, found


def _onnx_properties(job: ExportJob, name: str) -> dict[str, str]:
    return {
        "name": job.inputs.model_name,
        "description": DESCRIPTION,
        "labels": json.dumps(job.inputs.labels, ensure_ascii=False),
        "preprocessing": f"{job.inputs.preprocessing}, inside the graph",
        "fit": job.inputs.fit,
        "quantization": artifact_kind(name).quantization.value,
    }
