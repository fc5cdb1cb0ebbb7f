"""What the export worker does for integer artifacts: one quantization for all, and its report."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import keras
import numpy as np

from converters.quantization.calibrated_file import load_calibrated, save_calibrated
from converters.quantization.calibrated_network import CalibratedNetwork, Progress
from converters.quantization.calibration import calibrate, for_int16_activations
from converters.quantization.findings import LayerSensitivity, PrecisionTrial
from converters.quantization.layer_sensitivity import measure_sensitivity
from converters.quantization.mixed_precision import SearchStep, search
from converters.quantization.settings import QuantizationSettings
from converters.quantization.tensorflow_execution import unknown_operations
from converters.quantization.tflite import quantize_static
from resnet_edge.errors import ArtifactError, ResnetEdgeError
from resnet_edge.exporting.job import ExportEvent, ExportJob, Report
from resnet_edge.exporting.quantization_result import (
    LayerQuantization,
    QuantizationResult,
    QuantizationTrial,
)
from resnet_edge.ondevice.formats.kinds import Quantization
from resnet_edge.ondevice.json_records import read_record, write_record

POLL_S = 0.1
_NAMED = 3  # unstable layers that a message names


@dataclass(frozen=True)
class Quantized:
    """The quantization of a model, with the float file it is of."""

    float32: bytes
    calibrated: CalibratedNetwork
    findings: Mapping[str, str]


def quantize(job: ExportJob, float32: bytes, serving: keras.Model, report: Report) -> Quantized:
    """Calibrate, find out who is guilty, and search where a search is wanted.

    What it writes: the quantization itself, for the worker that makes ``int8.onnx``, and
    ``results/quantization.json``.
    """
    pictures = calibration_pictures(job)
    options = job.quantization
    method = QuantizationSettings(
        options.level,
        options.range_method,
        options.keep_float,
        options.onnx_target.grid,
        options.few_pictures,
    )

    def show(stage: str, done: int, total: int, words: str) -> None:
        report(ExportEvent("quantization", stage, done, total, words))

    layers = {layer.name for layer in serving._flatten_layers()}
    calibrated = calibrate(float32, pictures, method, layers, threads=job.threads, progress=show)
    if not options.budget_minutes:  # nothing changes it any more, and another worker waits for it
        save_calibrated(job.quantized, float32, calibrated)
    guilty = _find_guilty(calibrated, pictures, show, report)
    result = _result(job, calibrated, guilty, len(pictures))
    result = replace(result, float32_sha256=hashlib.sha256(float32).hexdigest())
    write_record(job.findings, result)
    if options.budget_minutes:
        calibrated = _search(job, float32, calibrated, guilty, result, report)
        save_calibrated(job.quantized, float32, calibrated)
    quantized = Quantized(float32, calibrated, _findings(calibrated))
    _tell(quantized, report)
    return quantized


def _find_guilty(
    calibrated: CalibratedNetwork, pictures: np.ndarray, show: Progress, report: Report
) -> tuple[LayerSensitivity, ...]:
    """What every layer costs; nothing for a network that ``fast`` quantizes without simulation."""
    if unknown := unknown_operations(calibrated.network):
        words = f"layers are not measured: {', '.join(unknown)} cannot be simulated"
        report(ExportEvent("quantization", "warning", 1, 1, words))
        return ()
    return measure_sensitivity(calibrated.network, calibrated.scheme, pictures, show)


def load_quantized(job: ExportJob) -> Quantized:
    """Read what another worker calibrates, as soon as it has.

    Where that one fails, the process that started both ends this one.
    """
    if job.pictures is None:
        raise ArtifactError("calibration: no pictures; pass --calibration DIR")
    while not job.quantized.exists():
        time.sleep(POLL_S)
    float32, calibrated = load_calibrated(job.quantized)
    return Quantized(float32, calibrated, _findings(calibrated))


def calibration_pictures(job: ExportJob) -> np.ndarray:
    """The decoded calibration pictures, uint8 ``(n, height, width, 3)``, mapped."""
    if job.pictures is None:
        raise ArtifactError("calibration: no pictures; pass --calibration DIR")
    pictures: np.ndarray = np.load(job.pictures, mmap_mode="r", allow_pickle=False)
    return pictures


def integer_tflite(quantized: Quantized, quantization: Quantization, pictures: np.ndarray) -> bytes:
    """Return one of the integer TFLite files, before names and metadata."""
    network, scheme = quantized.calibrated.network, quantized.calibrated.scheme
    match quantization:
        case Quantization.INTEGER_ONLY:
            return quantize_static(quantized.float32, network, scheme, integer_only=True)
        case Quantization.INT16_ACTIVATIONS:
            scheme = for_int16_activations(quantized.calibrated, pictures)
            return quantize_static(
                quantized.float32, network, scheme, integer_only=False, activation_bits=16
            )
        case _:
            return quantize_static(quantized.float32, network, scheme, integer_only=False)


def _search(
    job: ExportJob,
    float32: bytes,
    calibrated: CalibratedNetwork,
    guilty: tuple[LayerSensitivity, ...],
    result: QuantizationResult,
    report: Report,
) -> CalibratedNetwork:
    """Try layers in float, writing every trial down at once; earlier trials are not repeated."""
    best: SearchStep | None = None
    trials = _earlier_trials(job, result)
    for found in search(
        float32,
        calibrated,
        guilty,
        calibration_pictures(job),
        budget_s=60 * job.quantization.budget_minutes,
        earlier=tuple(_as_trial(row) for row in trials),
    ):
        best = found
        if found.repeated:
            continue
        trials = (*trials, _as_row(found.trial))
        result = replace(result, trials=trials, best=trials.index(_as_row(found.best)))
        write_record(job.findings, result)
        save_calibrated(job.quantized, float32, replace(calibrated, scheme=found.scheme))
        kept = len(found.trial.float_layers)
        words = f"{found.trial.agreement:.2%} agreement with {kept} layers in float"
        report(ExportEvent("quantization", "searching", len(trials), len(trials), words))
    if best is not None:
        calibrated = replace(calibrated, scheme=best.scheme)
    write_record(job.findings, replace(result, findings=_findings(calibrated)))
    return calibrated


def _earlier_trials(job: ExportJob, result: QuantizationResult) -> tuple[QuantizationTrial, ...]:
    try:
        earlier = read_record(QuantizationResult, job.findings, ArtifactError)
    except ResnetEdgeError:  # none yet
        return ()
    inputs = [
        replace(one, trials=(), layers=(), findings={}, best=None) for one in (earlier, result)
    ]
    return earlier.trials if inputs[0] == inputs[1] else ()


def _result(
    job: ExportJob,
    calibrated: CalibratedNetwork,
    guilty: tuple[LayerSensitivity, ...],
    pictures: int,
) -> QuantizationResult:
    record = job.calibration
    return QuantizationResult(
        model_sha256=job.model_sha256,
        calibration_sha256=record.sha256 if record else "",
        pictures=pictures,
        method=job.quantization.method,
        findings=_findings(calibrated),
        layers=tuple(
            LayerQuantization(
                layer=row.layer,
                kinds=row.kinds,
                low=row.low,
                high=row.high,
                output_sqnr_db=row.output_sqnr_db,
                logits_sqnr_db=row.logits_sqnr_db,
                agreement=row.agreement,
                share=row.share,
            )
            for row in guilty
        ),
        trials=(),
    )


def _findings(calibrated: CalibratedNetwork) -> dict[str, str]:
    network, figures = calibrated.network, calibrated.figures
    kept = sorted(
        {network.operations[i].layer for i in calibrated.scheme.float_operations - network.head}
    )
    found = {}
    if figures is not None:
        found["equalisation"] = f"strength {figures.strength:g}, {figures.groups} groups of tensors"
        found["simulated SQNR"] = (
            f"{figures.held_out_sqnr_db:.1f} dB on {figures.held_out} held-out calibration pictures"
        )
    if calibrated.unstable:
        found["unstable ranges"] = ", ".join(calibrated.unstable)
    if kept:
        found["layers in float"] = ", ".join(kept)
    return found


def _tell(quantized: Quantized, report: Report) -> None:
    """Say how it went, and what a person should know."""
    if quantized.calibrated.figures is not None:
        words = f"quantized: {quantized.findings['simulated SQNR']}"
        report(ExportEvent("quantization", "found", 1, 1, words))
    if unstable := quantized.calibrated.unstable:
        named = ", ".join(unstable[:_NAMED])
        more = len(unstable) - _NAMED
        others = f" and {more} more" if more > 0 else ""
        report(
            ExportEvent(
                "quantization",
                "warning",
                1,
                1,
                f"calibration: ranges of {named}{others} differ by over a quarter between halves "
                "of the pictures; more calibration pictures would help",
            )
        )


def _as_row(trial: PrecisionTrial) -> QuantizationTrial:
    return QuantizationTrial(
        layer=trial.layer,
        float_layers=trial.float_layers,
        agreement=trial.agreement,
        sqnr_db=trial.sqnr_db,
        bytes=trial.bytes,
        latency_s=trial.latency_s,
        holds=trial.holds,
    )


def _as_trial(row: QuantizationTrial) -> PrecisionTrial:
    return PrecisionTrial(
        layer=row.layer,
        float_layers=row.float_layers,
        agreement=row.agreement,
        sqnr_db=row.sqnr_db,
        bytes=row.bytes,
        latency_s=row.latency_s,
        holds=row.holds,
    )
