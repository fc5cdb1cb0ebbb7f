"""The worker that converts.

Converters leak memory, print what they like and take global switches; a process of their own keeps
all that away.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import keras

from converters.endpoints import INPUT_NAME, OUTPUT_NAME
from converters.preprocessing import PREPROCESSINGS
from converters.rewrites.all_rewrites import NECESSARY, REWRITES, Optimized, fold_into, optimize
from converters.serving import serving_model
from resnet_edge.errors import ArtifactError, OutputError
from resnet_edge.exporting.job import ExportEvent, ExportJob, ExportPlan, ExportResult
from resnet_edge.exporting.memory import return_freed_memory
from resnet_edge.model.classifiers import load_classifier
from resnet_edge.ondevice.files import hash_path, size_path, write_bytes
from resnet_edge.ondevice.formats.kinds import Format, artifact_kind
from resnet_edge.ondevice.formats.sidecar import Sidecar, sidecar_path, write_sidecar
from resnet_edge.ondevice.workers.serving import Reporter, serve

DESCRIPTION = "Image classifier: raw RGB levels 0 to 255 in, class probabilities out."


@dataclass(frozen=True)
class Network:
    """The graph to convert, with what is said of it."""

    serving: keras.Model
    parameters: int
    optimized: Optimized

    def with_rewrite(self, name: str) -> Network:
        """The same graph, of whose files one more rewrite is said."""
        applied = (*self.optimized.applied, name)
        return replace(self, optimized=replace(self.optimized, applied=applied))


def main() -> int:
    """Convert what the plan on standard input says."""
    return serve(ExportPlan, _work)


def _work(plan: ExportPlan, reporter: Reporter) -> ExportResult:
    def report(event: ExportEvent) -> None:
        if event.stage == "warning":
            reporter.warn(event.words)
        elif event.stage == "found":
            reporter.say(event.words)
        elif event.stage == "written":
            reporter.made(event.artifact)
        elif event.total:
            reporter.advance(event.done, event.total, f"{event.stage} {event.words}".strip())

    run_plan(plan, report)
    return ExportResult(tuple(name for job in plan.jobs for name in job.names))


def run_plan(plan: ExportPlan, report: Callable[[ExportEvent], None]) -> None:
    """Convert and write every artifact of ``plan``, each with its sidecar, reporting as it goes."""
    network = build_network(plan.jobs[0])
    for job in plan.jobs:
        match job.format:
            case Format.SAVED_MODEL:
                _write_saved_model(job, network, report)
            case Format.TFLITE:
                _write_tflite(job, network, report)
            case Format.ONNX:
                _write_onnx(job, network, report)


def build_network(job: ExportJob) -> Network:
    """Load the model, rewrite it exactly, and put the preprocessing in front."""
    model = load_classifier(job.model)
    optimized = optimize(model, REWRITES if job.rewrites else NECESSARY)
    preprocessing = PREPROCESSINGS[job.preprocessing]
    if job.rewrites:
        optimized, preprocessing = fold_into(optimized, preprocessing)
    serving = serving_model(optimized.model, preprocessing)
    return Network(serving, model.count_params(), optimized)


def _write_saved_model(
    job: ExportJob, network: Network, report: Callable[[ExportEvent], None]
) -> None:
    import tensorflow as tf

    from converters.saved_model import export_saved_model

    (name,) = job.names
    beside = job.artifacts / f".{name}.part"
    shutil.rmtree(beside, ignore_errors=True)
    job.artifacts.mkdir(parents=True, exist_ok=True)
    target = job.artifacts / name
    try:
        export_saved_model(network.serving, beside, job.labels)
    except (OSError, tf.errors.OpError) as problem:  # the latter is TensorFlow's own OSError
        shutil.rmtree(beside, ignore_errors=True)
        words = str(problem).strip().partition("\n")[0] or type(problem).__name__
        raise OutputError(
            f"{target}: cannot be written ({words}); "
            "free some space or choose another folder with --out"
        ) from problem
    sidecar_path(target).unlink(missing_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    beside.rename(target)
    _finish(job, network, name, report, {})


def _write_tflite(job: ExportJob, network: Network, report: Callable[[ExportEvent], None]) -> None:
    from converters.quantization import tflite as quantize
    from converters.tflite import conversion as to_tflite

    report(ExportEvent("fp32.tflite", "converting", 0, 0))
    float32 = to_tflite.convert_float32(network.serving)
    return_freed_memory()
    quantized = None
    if not job.names or any(artifact_kind(name).calibrated for name in job.names):
        from resnet_edge.exporting import quantizing

        quantized = quantizing.quantize(job, float32, network.serving, report)
    for name in job.names:
        match name:
            case "fp32.tflite":
                data = float32
            case "fp16.tflite":
                data = quantize.quantize_float16(float32)
            case "dynamic.tflite":
                data = quantize.quantize_dynamic(float32)
            case _ if quantized is not None:
                data = quantizing.integer_tflite(
                    quantized, name, quantizing.calibration_pictures(job)
                )
            case _:
                raise ArtifactError(f"{name}: not known to this worker")
        found = dict(quantized.findings) if quantized and artifact_kind(name).calibrated else {}
        data = _complete_tflite(job, network, name, data)
        _write_file(job, network, name, data, report, found)


def _complete_tflite(job: ExportJob, network: Network, name: str, data: bytes) -> bytes:
    """Give a TFLite file its names, its integer input and output, and its metadata."""
    from converters.tflite import flatbuffer
    from converters.tflite.metadata import ClassifierMetadata, add_metadata_buffer, append_labels

    kind = artifact_kind(name)
    model = flatbuffer.read_flatbuffer(data)
    if kind.input_dtype == "uint8":
        flatbuffer.use_uint8_input(model)
    if kind.output_dtype == "uint8":
        flatbuffer.use_uint8_output(model)
    flatbuffer.name_endpoints(model)
    size = network.serving.input_shape[1:3]
    about = f"{DESCRIPTION} Quantization: {kind.quantization.value}."
    add_metadata_buffer(model, ClassifierMetadata(job.model_name, about, job.labels, size))
    return append_labels(flatbuffer.write_flatbuffer(model), job.labels)


def _write_onnx(job: ExportJob, network: Network, report: Callable[[ExportEvent], None]) -> None:
    from converters.onnx import conversion as to_onnx
    from converters.onnx import pool_padding

    report(ExportEvent("fp32.onnx", "converting", 0, 0))
    float32 = to_onnx.convert_float32(network.serving)
    return_freed_memory()
    if job.rewrites and pool_padding.merge_pool_padding(float32):
        network = network.with_rewrite(pool_padding.NAME)
    for name in job.names:
        found: dict[str, str] = {}
        match name:
            case "fp32.onnx":
                model = float32
            case "fp16.onnx":
                model = to_onnx.convert_float16(float32)
            case _:
                from converters.quantization.onnx import quantize_int8
                from resnet_edge.exporting import quantizing

                quantized = quantizing.load_quantized(job)
                target = job.quantization.onnx_target
                pictures = quantizing.calibration_pictures(job)
                model = quantize_int8(float32, quantized.calibrated, pictures, target)
                to_onnx.use_uint8_input(model)
                found = {**quantized.findings, "processor": f"{target}: {target.reason}"}
        to_onnx.add_metadata(model, _onnx_properties(job, name))
        _write_file(job, network, name, to_onnx.serialize(model), report, found)


def _onnx_properties(job: ExportJob, name: str) -> dict[str, str]:
    return {
        "name": job.model_name,
        "description": DESCRIPTION,
        "labels": json.dumps(job.labels, ensure_ascii=False),
        "preprocessing": f"{job.preprocessing}, inside the graph",
        "fit": job.fit,
        "quantization": artifact_kind(name).quantization.value,
    }


def _write_file(
    job: ExportJob,
    network: Network,
    name: str,
    data: bytes,
    report: Callable[[ExportEvent], None],
    findings: dict[str, str],
) -> None:
    write_bytes(job.artifacts / name, data)
    _finish(job, network, name, report, findings)


def _finish(
    job: ExportJob,
    network: Network,
    name: str,
    report: Callable[[ExportEvent], None],
    findings: dict[str, str],
) -> None:
    """Write the sidecar; only with it does the artifact count as made."""
    path, kind = job.artifacts / name, artifact_kind(name)
    batch = 1 if kind.format is Format.TFLITE else None
    sidecar = Sidecar(
        name=name,
        format=kind.format,
        precision=kind.precision,
        quantization=kind.quantization,
        input_name=INPUT_NAME,
        input_dtype=kind.input_dtype,
        input_shape=(batch, *network.serving.input_shape[1:]),
        output_name=OUTPUT_NAME,
        output_dtype=kind.output_dtype,
        output_shape=(batch, len(job.labels)),
        preprocessing=job.preprocessing,
        fit=job.fit,
        labels=job.labels,
        bytes=size_path(path),
        sha256=hash_path(path),
        model_name=job.model_name,
        model_sha256=job.model_sha256,
        parameters=network.parameters,
        multiply_adds=network.optimized.multiply_adds,
        multiply_adds_before=network.optimized.multiply_adds_before,
        rewrites=network.optimized.applied,
        calibration=job.calibration if kind.calibrated else None,
        tools=job.tools,
        options=job.options_of(name),
        findings=findings,
    )
    write_sidecar(path, sidecar)
    report(ExportEvent(name, "written", 1, 1))


if __name__ == "__main__":
    sys.exit(main())
