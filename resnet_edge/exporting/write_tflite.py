"""TFLite files, all derived from one float32 file."""

from __future__ import annotations

from typing import assert_never

from converters.quantization import tflite as quantize
from converters.tflite import conversion, flatbuffer
from converters.tflite.metadata import ClassifierMetadata, add_metadata_buffer, append_labels
from converters.tflite.stored_dense import dense_as_convolutions
from resnet_edge.errors import translate
from resnet_edge.exporting import quantizing
from resnet_edge.exporting.attempt import attempt
from resnet_edge.exporting.finishing import DESCRIPTION, write_artifact
from resnet_edge.exporting.job import ExportJob
from resnet_edge.exporting.memory import return_freed_memory
from resnet_edge.exporting.serving_graph import ServingGraph
from resnet_edge.ondevice.formats.kinds import Quantization, artifact_kind
from resnet_edge.ondevice.workers.serving import Reporter


def write_tflite(job: ExportJob, graph: ServingGraph, reporter: Reporter) -> None:
    """Write the TFLite files of ``job``; without any, only the quantization that others need.

    Files without calibration come first: they do not depend on the quantization.
    """
    float32 = conversion.convert_float32(graph.serving)
    return_freed_memory()
    calibrated = tuple(name for name in job.names if artifact_kind(name).calibrated)
    for name in job.names:
        if name not in calibrated:
            with attempt((name,), reporter):
                _write_file(job, graph, name, float32, None, reporter)
    if not job.quantizes:
        return
    quantized = None
    with attempt(calibrated, reporter):
        quantized = _quantize(job, float32, graph, reporter)
    for name in calibrated if quantized else ():
        with attempt((name,), reporter):
            _write_file(job, graph, name, float32, quantized, reporter)


def _quantize(
    job: ExportJob, float32: bytes, graph: ServingGraph, reporter: Reporter
) -> quantizing.Quantized:
    """Quantize; if that fails, tell the worker that waits for it too."""
    try:
        return quantizing.quantize(job, float32, graph.serving, reporter)
    except Exception as problem:
        reporter.ready(str(translate(problem)))
        raise


def _write_file(
    job: ExportJob,
    graph: ServingGraph,
    name: str,
    float32: bytes,
    shared: quantizing.Quantized | None,
    reporter: Reporter,
) -> None:
    data = _quantized(job, float32, artifact_kind(name).quantization, shared)
    found = dict(shared.findings) if shared else {}
    write_artifact(job, graph, name, _complete_tflite(job, graph, name, data), reporter, found)


def _quantized(
    job: ExportJob, float32: bytes, quantization: Quantization, shared: quantizing.Quantized | None
) -> bytes:
    """Return the file with this quantization, before names and metadata."""
    match quantization:
        case Quantization.NONE:
            return float32
        case Quantization.FLOAT16_WEIGHTS:
            return quantize.quantize_float16(float32)
        case Quantization.DYNAMIC:
            return quantize.quantize_dynamic(float32)
        case Quantization.STATIC | Quantization.INTEGER_ONLY | Quantization.INT16_ACTIVATIONS:
            assert shared is not None  # it is made for every calibrated artifact
            pictures = quantizing.calibration_pictures(job)
            return quantizing.integer_tflite(shared, quantization, pictures)
        case _:
            assert_never(quantization)


def _complete_tflite(job: ExportJob, graph: ServingGraph, name: str, data: bytes) -> bytes:
    """Give a TFLite file operators that runtimes take, names, integer ends, and metadata."""
    kind = artifact_kind(name)
    model = flatbuffer.read_flatbuffer(data)
    dense_as_convolutions(model)
    if kind.input_dtype == "uint8":
        flatbuffer.use_uint8_input(model)
    if kind.output_dtype == "uint8":
        flatbuffer.use_uint8_output(model)
    flatbuffer.name_endpoints(model)
    size = graph.serving.input_shape[1:3]
    about = f"{DESCRIPTION} Quantization: {kind.quantization.value}."
    add_metadata_buffer(
        model, ClassifierMetadata(job.inputs.model_name, about, job.inputs.labels, size)
    )
    return append_labels(flatbuffer.write_flatbuffer(model), job.inputs.labels)
