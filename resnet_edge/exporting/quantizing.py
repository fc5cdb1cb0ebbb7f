"""One quantization for all integer artifacts, and the record of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from converters.learning.labelled_pictures import LabelledPictures
from converters.quantization.calibrated_file import load_calibrated, save_calibrated
from converters.quantization.calibrated_network import (
    CalibratedNetwork,
    FloatFallback,
    Progress,
    equalisation_words,
)
from converters.quantization.calibration import calibrate, for_int16_activations, for_litert
from converters.quantization.findings import LayerSensitivity, PrecisionTrial
from converters.quantization.float_fallback import MORE_BYTES
from converters.quantization.labelled_training import Course
from converters.quantization.layer_sensitivity import measure_sensitivity
from converters.quantization.mixed_precision import SearchStep, search
from converters.quantization.settings import QuantizationSettings
from converters.quantization.tensorflow_execution import unknown_operations
from converters.quantization.tflite import quantize_static
from converters.quantization.unfinished_training import UnfinishedTraining
from resnet_edge.errors import ArtifactError, ModelError, WorkerError
from resnet_edge.exporting.calibration_stage import SpreadPasses
from resnet_edge.exporting.job import ExportJob, IntegerInputs, LessonInputs
from resnet_edge.exporting.quantization_result import QuantizationResult
from resnet_edge.ondevice.formats.kinds import Quantization
from resnet_edge.ondevice.json_records import read_record, write_record
from resnet_edge.ondevice.workers.serving import Reporter
from resnet_edge.options import QuantizationOptions
from resnet_edge.scale.running import Computing
from resnet_edge.training.augmentation import variation
from resnet_edge.units import plural

_NAMED = 3  # unstable layers that a message names
_MOST = 0.5  # share of the multiply-adds in float above which another file may serve better


@dataclass(frozen=True)
class Quantized:
    """The quantization of a model, with its float32 file."""

    float32: bytes
    calibrated: CalibratedNetwork
    findings: Mapping[str, str]


def quantize(job: ExportJob, float32: bytes, serving: keras.Model, reporter: Reporter) -> Quantized:
    """Calibrate, measure every layer, and search where a search is asked for.

    Writes the quantization for the worker that makes ``int8.onnx``, and
    ``results/quantization.json``.

    Args:
        job: The job of the format whose process quantizes.
        float32: The float32 TFLite file.
        serving: The Keras model that it was converted from.
        reporter: Tells the progress, and when the quantization is there.
    """
    inputs = job.inputs.for_integers
    pictures = calibration_pictures(job)

    def show(stage: str, done: int, total: int, words: str) -> None:
        reporter.advance(done, total, f"{stage} {words}".strip())

    calibrated = calibrate(
        float32,
        pictures,
        _settings(inputs.options),
        {layer.name for layer in serving._flatten_layers()},
        course=None if inputs.lessons is None else _course(inputs.lessons, _unfinished(inputs)),
        threads=inputs.engine.threads,
        spread=_spread(inputs, pictures, reporter),
        progress=show,
    )
    if not inputs.options.budget_minutes:  # nothing changes it any more
        _save(inputs, float32, calibrated)
        reporter.ready()
    layers = _measure_layers(calibrated, pictures, show, reporter)
    result = QuantizationResult(
        model_sha256=job.inputs.model_sha256,
        calibration_sha256=inputs.calibration.sha256,
        pictures=len(pictures),
        method=inputs.options.method,
        findings=_findings(calibrated),
        layers=layers,
        trials=(),
        float32_sha256=hashlib.sha256(float32).hexdigest(),
    )
    write_record(inputs.findings, result)
    if inputs.options.budget_minutes:
        calibrated = _search(job, float32, calibrated, result, reporter)
        _save(inputs, float32, calibrated)
        reporter.ready()
    quantized = Quantized(float32, calibrated, _findings(calibrated))
    _tell(quantized, reporter)
    return quantized


def _spread(inputs: IntegerInputs, pictures: np.ndarray, reporter: Reporter) -> SpreadPasses:
    cache = inputs.quantized.parent
    return SpreadPasses(inputs.pictures, pictures, cache, Computing(inputs.engine, reporter.warn))


def _unfinished(inputs: IntegerInputs) -> UnfinishedTraining:
    return UnfinishedTraining(inputs.quantized.with_suffix(".training"))


def _save(inputs: IntegerInputs, float32: bytes, calibrated: CalibratedNetwork) -> None:
    """Write the quantization down, after which nothing is left to go on with."""
    save_calibrated(inputs.quantized, float32, calibrated)
    _unfinished(inputs).remove()


def _course(lessons: LessonInputs, unfinished: UnfinishedTraining) -> Course:
    """Map the decoded pictures that the quantization learns from."""

    def known(path: Path, labels: tuple[int, ...]) -> LabelledPictures:
        pictures = np.load(path, mmap_mode="r", allow_pickle=False)
        return LabelledPictures(pictures, np.array(labels, np.int64))

    return Course(
        known(lessons.pictures, lessons.labels),
        known(lessons.validation, lessons.validation_labels),
        variation(seed=0) if lessons.augment else None,
        unfinished,
    )


def _settings(options: QuantizationOptions) -> QuantizationSettings:
    """Return the part of the options that the engine takes."""
    return QuantizationSettings(
        level=options.level,
        keep_float=options.keep_float,
        grid=options.onnx_target.grid,
        few_pictures=options.few_pictures,
    )


def _measure_layers(
    calibrated: CalibratedNetwork, pictures: np.ndarray, show: Progress, reporter: Reporter
) -> tuple[LayerSensitivity, ...]:
    """Return what rounding each layer costs; nothing for a network that cannot be simulated."""
    if unknown := unknown_operations(calibrated.network):
        reporter.warn(f"layers are not measured: {', '.join(unknown)} cannot be simulated")
        return ()
    return measure_sensitivity(calibrated.network, calibrated.scheme, pictures, show)


def load_quantized(job: ExportJob, reporter: Reporter) -> Quantized:
    """Read the quantization, as soon as the worker that makes it is done with it.

    Raises:
        ModelError: It could not be made.
        WorkerError: That worker ended and made none.
    """
    path = job.inputs.for_integers.quantized
    if problem := reporter.wait():
        raise ModelError(problem)
    if not path.exists():
        raise WorkerError(
            f"{path}: the process that quantizes ended without it; run the export again"
        )
    float32, calibrated = load_calibrated(path)
    return Quantized(float32, calibrated, _findings(calibrated))


def calibration_pictures(job: ExportJob) -> np.ndarray:
    """Map the decoded calibration pictures, uint8 ``(n, height, width, 3)``."""
    pictures: np.ndarray = np.load(
        job.inputs.for_integers.pictures, mmap_mode="r", allow_pickle=False
    )
    return pictures


def integer_tflite(quantized: Quantized, quantization: Quantization, pictures: np.ndarray) -> bytes:
    """Return one of the integer TFLite files, before names and metadata."""
    network = quantized.calibrated.network
    match quantization:
        case Quantization.INTEGER_ONLY:
            scheme = for_litert(quantized.calibrated, pictures, integer_only=True)
            return quantize_static(quantized.float32, network, scheme, integer_only=True)
        case Quantization.INT16_ACTIVATIONS:
            scheme = for_int16_activations(quantized.calibrated, pictures)
            return quantize_static(
                quantized.float32, network, scheme, integer_only=False, activation_bits=16
            )
        case Quantization.STATIC:
            scheme = for_litert(quantized.calibrated, pictures)
            return quantize_static(quantized.float32, network, scheme, integer_only=False)
        case _:
            raise ArtifactError(f"no integer TFLite file with {quantization.value} is made here")


def _search(
    job: ExportJob,
    float32: bytes,
    calibrated: CalibratedNetwork,
    result: QuantizationResult,
    reporter: Reporter,
) -> CalibratedNetwork:
    """Try layers in float, writing every trial down at once; earlier trials are not repeated."""
    inputs = job.inputs.for_integers
    best: SearchStep | None = None
    trials = _earlier_trials(inputs.findings, result)
    for step in search(
        float32,
        calibrated,
        result.layers,
        calibration_pictures(job),
        budget_s=60 * inputs.options.budget_minutes,
        earlier=trials,
    ):
        best = step
        if step.repeated:
            continue
        trials = (*trials, step.trial)
        result = replace(result, trials=trials, best=trials.index(step.best))
        write_record(inputs.findings, result)
        save_calibrated(inputs.quantized, float32, replace(calibrated, scheme=step.scheme))
        kept = len(step.trial.float_layers)
        words = f"searching {step.trial.agreement:.2%} agreement with {kept} layers in float"
        reporter.advance(len(trials), len(trials), words)
    if best is not None:
        calibrated = replace(calibrated, scheme=best.scheme)
    write_record(inputs.findings, replace(result, findings=_findings(calibrated)))
    return calibrated


def _earlier_trials(path: Path, result: QuantizationResult) -> tuple[PrecisionTrial, ...]:
    """Return the trials of a search that was cut off; nothing if its inputs were others."""
    try:
        earlier = read_record(QuantizationResult, path, ArtifactError)
    except ArtifactError:  # there is none yet, or another version wrote it
        return ()
    inputs = [
        replace(one, trials=(), layers=(), findings={}, best=None) for one in (earlier, result)
    ]
    return earlier.trials if inputs[0] == inputs[1] else ()


def _findings(calibrated: CalibratedNetwork) -> dict[str, str]:
    network, figures = calibrated.network, calibrated.figures
    kept = sorted(
        {network.operations[i].layer for i in calibrated.scheme.float_operations - network.head}
    )
    found = {}
    if figures is not None:
        found["equalisation"] = (
            f"{equalisation_words(figures.strength)}, {figures.groups} groups of tensors"
        )
        found["simulated SQNR"] = (
            f"{figures.held_out_sqnr_db:.1f} dB, mean of {figures.held_out} held-out pictures"
        )
    if calibrated.training is not None:
        before, after = calibrated.training.before, calibrated.training.after
        found["training"] = (
            f"top-1 {before.top1:.1%} before, {after.top1:.1%} after, cross-entropy "
            f"{before.cross_entropy:.3f} and {after.cross_entropy:.3f} nats, simulated on "
            f"{calibrated.training.pictures} validation pictures; int8 files only: int16x8.tflite "
            "keeps the model's own weights"
        )
    if calibrated.unstable:
        found["unstable ranges"] = ", ".join(calibrated.unstable)
    if kept:
        found["layers in float"] = ", ".join(kept)
    head = network.dense_head
    if head is not None and calibrated.scheme.has_float_head:
        more_bytes = MORE_BYTES * network.parameters[head.index].kernel.size
        found["float head"] = (
            f"the weights of {head.layer} stay in float32, because 8 bits are too coarse for them "
            f"(int8.tflite, int16x8.tflite and int8.onnx {more_bytes / 1e6:.2f} MB larger); "
            "int8_full rounds them"
        )
    if calibrated.fallback is not None:
        found["float fallback"] = _fallback_words(calibrated.fallback)
    if calibrated.notes:
        found["level"] = "; ".join(calibrated.notes)
    return found


def _fallback_words(fallback: FloatFallback) -> str:
    """Say what layers in float cost and bring."""
    before, after = fallback.integer, fallback.mixed
    size = f"{fallback.more_bytes / 1e6:.2f} MB larger"
    weights = (
        f"their weights too, for which 8 bits are too coarse (int8.tflite and int8.onnx {size})"
        if fallback.has_float_weights
        else f"their weights still in 8 bits (int8.onnx {size}: in float)"
    )
    advice = ""
    if fallback.has_float_weights and fallback.multiply_adds > _MOST:
        advice = "; 8 bits do not hold this network: compare the float16 files, which parity judges"
    elif fallback.multiply_adds > _MOST:
        advice = (
            "; most of this network is in float: compare int16x8.tflite, with 16-bit integers, and "
            "dynamic.tflite, as small, which parity and bench judge beside it"
        )
    return (
        f"{plural(len(fallback.layers), 'layer')} to float, because 8 bits lose too much in them: "
        f"{before.agreement:.1%} agreement and {before.sqnr_db:.1f} dB without, "
        f"{after.agreement:.1%} and {after.sqnr_db:.1f} dB with them in float, simulated on "
        f"{after.pictures} held-out pictures; {fallback.multiply_adds:.1%} of the "
        f"multiply-adds, {weights}; int8_full and int16x8 keep them in integers{advice}"
    )


def _tell(quantized: Quantized, reporter: Reporter) -> None:
    """Say how the quantization went, and what a person should know."""
    if quantized.calibrated.figures is not None:
        reporter.say(f"quantized: {quantized.findings['simulated SQNR']}")
    if "float head" in quantized.findings:
        reporter.say(f"quantization: {quantized.findings['float head']}")
    if quantized.calibrated.fallback is not None:
        reporter.warn(f"quantization: {quantized.findings['float fallback']}")
    for note in quantized.calibrated.notes:
        reporter.warn(f"quantization: {note}")
    if unstable := quantized.calibrated.unstable:
        named = ", ".join(unstable[:_NAMED])
        more = len(unstable) - _NAMED
        others = f" and {more} more" if more > 0 else ""
        reporter.warn(
            f"calibration: ranges of {named}{others} differ by over a quarter between halves "
            "of the pictures; more of them would help"
        )
