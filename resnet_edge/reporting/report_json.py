"""``report.json``: what scripts read.

Numbers are finite or null, so every JSON reader takes the file: what was not measured is null, as
is NaN, which shows in the verdict (``fail``) and its reason. An SQNR without limit (the artifact's
answers equal the reference's bit for bit) is ``"sqnr_db": null`` beside ``"sqnr_exact": true``.
Shares are in [0, 1], ``_ms`` milliseconds, sizes bytes. ``latency`` is the thread count with the
lowest median in the preferred runtime, ``latencies`` holds every one; ``elsewhere`` has the answers
in further runtimes, which the verdict does not depend on. ``quantization`` is null where nothing is
known of it; an SQNR without limit is there, too, null beside a ``…_exact`` that is true.
``devices`` holds what each device measured of the same files, on a sample of the test split; its
``agreement_here`` is the share of these pictures that the same file answers as on this machine.

Of a latency, ``p90_bound_ms`` is what the 90th percentile is at most with 99 % confidence (MLPerf's
early stopping; null below 64 queries), ``drift`` the relative change of the median from the first
half of the samples to the second, ``doubts`` what speaks against it and what to do. ``conditions``
is null where they were not read, as in older records; in it, null or an empty list is what the
machine does not tell, loads are numbers of cores. ``verdict.queries_needed`` is how many queries in
all an inconclusive latency gate needs.
"""

from __future__ import annotations

import math
from typing import TypeAlias

from resnet_edge.exporting.quantization_result import (
    LayerQuantization,
    QuantizationResult,
    QuantizationTrial,
)
from resnet_edge.ondevice.latency.cpu_state import MeasuringConditions
from resnet_edge.ondevice.latency.warnings import advice_for, find_warnings
from resnet_edge.ondevice.measurements import ArtifactParity, GateResult, Latency, Machine, Provider
from resnet_edge.reporting.agreement import agreement_with
from resnet_edge.reporting.content import (
    ArtifactRow,
    DeviceSection,
    ReferenceSection,
    ReportContent,
)

JsonValue: TypeAlias = "str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None"
JsonObject: TypeAlias = dict[str, JsonValue]

SCHEMA_VERSION = 1


_REFERENCE_KEYS = (
    *("device", "backend", "dtype", "top1", "top5", "latency", "details", "float32"),
    *("throughput", "throughput_stopped", "host", "versions"),
)


def report_json(content: ReportContent) -> JsonObject:
    """Return what ``report.json`` holds; ``json.dumps(…, allow_nan=False)`` takes it."""
    model, data = content.model, content.data
    reference_s = _reference_p50_s(content)
    return {
        "schema": SCHEMA_VERSION,
        "made_by": content.made_by,
        "verdict": content.verdict.value,
        "model": {
            "name": model.name,
            "sha256": model.sha256,
            "classes": len(model.labels),
            "labels": list(model.labels),
            "image_size": list(model.image_size),
            "parameters": model.parameters,
            "multiply_adds": model.multiply_adds,
            "multiply_adds_before": model.multiply_adds_before,
            "weights": model.weights,
            "rewrites": list(model.rewrites),
        },
        "data": {
            "train": data.train,
            "validation": data.validation,
            "calibration": data.calibration,
            "test": data.test,
            "source": data.source,
            "skipped": list(data.skipped),
        },
        "reference": _reference(content.reference),
        "artifacts": [_artifact(row, reference_s) for row in content.artifacts],
        "machine": None if content.machine is None else _machine(content.machine),
        "notes": list(content.notes),
        "quantization": (
            None if content.quantization is None else _quantization(content.quantization)
        ),
        "devices": [_device(device, content, reference_s) for device in content.devices],
    }


def _reference(reference: ReferenceSection | None) -> JsonObject:
    if reference is None:
        return dict.fromkeys(_REFERENCE_KEYS)
    latency = reference.latency
    return {
        "device": reference.device,
        "backend": reference.backend,
        "dtype": reference.dtype,
        "top1": _finite(reference.top1),
        "top5": _finite(reference.top5),
        "latency": None if latency is None else _latency(latency, None),
        "details": dict(reference.details),
        "float32": reference.float32,
        "throughput": [
            {
                "batch": measured.batch,
                "pictures_per_s": _finite(measured.pictures_per_s),
                "batch_ms": _ms(measured.batch_s),
                "samples": len(measured.samples_s),
            }
            for measured in reference.throughput
        ],
        "throughput_stopped": reference.throughput_stopped,
        "host": reference.host,
        "versions": dict(reference.versions),
    }


def _artifact(row: ArtifactRow, reference_s: float | None) -> JsonObject:
    sidecar, parity, latency = row.sidecar, row.parity, row.latency
    latencies = row.bench.latencies if row.bench is not None else ()
    return {
        "name": row.name,
        "format": sidecar.format.value,
        "precision": sidecar.precision.value,
        "quantization": sidecar.quantization.value,
        "bytes": sidecar.bytes,
        "sha256": sidecar.sha256,
        "runtime": row.runtime,
        "images": parity.images if parity else 0,
        "top1": _finite(parity.top1) if parity else None,
        "top5": _finite(parity.top5) if parity else None,
        "agreement": _finite(parity.agreement) if parity else None,
        "sqnr_db": _finite(parity.sqnr_db) if parity else None,
        "sqnr_exact": parity is not None and parity.sqnr_db == math.inf,
        "max_abs_logit": _finite(parity.max_abs_logit) if parity else None,
        "mean_abs_logit": _finite(parity.mean_abs_logit) if parity else None,
        "logit_range": _finite(parity.logit_range) if parity else None,
        "cosine": _finite(parity.cosine) if parity else None,
        "kl": _finite(parity.kl) if parity else None,
        "changed": len(parity.changed) if parity else None,
        "collapse": parity.collapse if parity else None,
        "latency": None if latency is None else _latency(latency, reference_s),
        "latencies": [_latency(measured, reference_s) for measured in latencies],
        "elsewhere": [_elsewhere(other) for other in row.elsewhere],
        "verdict": _verdict(row),
        "findings": dict(sidecar.findings),
    }


def _elsewhere(parity: ArtifactParity) -> JsonObject:
    return {
        "runtime": parity.runtime,
        "top1": _finite(parity.top1),
        "agreement": _finite(parity.agreement),
        "sqnr_db": _finite(parity.sqnr_db),
        "sqnr_exact": parity.sqnr_db == math.inf,
        "verdict": parity.gate.verdict.value,
        "reason": parity.gate.reason,
    }


def _verdict(row: ArtifactRow) -> JsonObject:
    accuracy, latency = row.accuracy_gate, row.latency_gate
    return {
        "overall": row.verdict.value,
        "accuracy": accuracy.verdict.value,
        "latency": latency.verdict.value,
        "interval": _interval(accuracy),
        "images_needed": accuracy.images_needed,
        "queries_needed": latency.queries_needed,
        "accuracy_reason": accuracy.reason,
        "latency_reason": latency.reason,
    }


def _interval(gate: GateResult) -> JsonObject | None:
    if gate.interval is None:
        return None
    low, high = _finite(gate.interval.low), _finite(gate.interval.high)
    return {"low": low, "high": high, "confidence": _finite(gate.interval.confidence)}


def _latency(latency: Latency, reference_s: float | None) -> JsonObject:
    ratio = latency.p50_s / reference_s if reference_s else None
    provider = latency.provider
    return {
        "runtime": latency.runtime,
        "threads": latency.threads,
        "samples": len(latency.samples_s),
        "p50_ms": _ms(latency.p50_s),
        "p90_ms": _ms(latency.p90_s),
        "p90_bound_ms": None if (bound := latency.p90_bound_s) is None else _ms(bound),
        "p97_ms": _ms(latency.p97_s),
        "p99_ms": _ms(latency.p99_s),
        "mean_ms": _ms(latency.mean_s),
        "first_ms": _ms(latency.first_s),
        "load_ms": _ms(latency.load_s),
        "peak_memory_bytes": latency.peak_memory_bytes,
        "warmup": latency.warmup,
        "spread": _finite(latency.spread),
        "noisy": latency.noisy,
        "settled": latency.settled,
        "drift": _finite(latency.drift),
        "drifting": latency.drifting,
        "in_groups": latency.in_groups,
        "doubts": _warnings(latency),
        "reference_ratio": _finite(ratio),
        "provider": None if provider is None else _provider(provider),
        "conditions": None if latency.conditions is None else _conditions(latency.conditions),
    }


def _warnings(latency: Latency) -> list[JsonValue]:
    found = find_warnings(latency)
    return [{"doubt": each.value, "advice": advice_for(each, found)} for each in found]


def _provider(provider: Provider) -> JsonObject:
    return {"requested": provider.requested, "used": provider.used or None}


def _conditions(seen: MeasuringConditions) -> JsonObject:
    return {
        "seconds": _finite(seen.seconds),
        "cores": list(seen.cores),
        "clocks": [
            {
                "core": clock.core,
                "governor": clock.governor or None,
                "before_hz": clock.before_hz,
                "after_hz": clock.after_hz,
                "limit_hz": clock.limit_hz or None,
            }
            for clock in seen.clocks
        ],
        "temperatures": [
            {"zone": t.zone, "before_c": _finite(t.before_c), "after_c": _finite(t.after_c)}
            for t in seen.temperatures
        ],
        "throttled": None if seen.throttled is None else list(seen.throttled),
        "other_load": _finite(seen.other_load),
        "stolen_load": _finite(seen.stolen_load),
    }


def _machine(machine: Machine) -> JsonObject:
    return {
        "host": machine.host,
        "system": machine.system,
        "processor": machine.processor,
        "cpu_features": list(machine.cpu_features),
        "cores": machine.cores,
        "python": machine.python,
        "runtimes": dict(machine.runtimes),
    }


def _device(device: DeviceSection, content: ReportContent, reference_s: float | None) -> JsonObject:
    measured = {row.name for row in device.artifacts}
    here = [row for row in content.artifacts if row.name in measured]
    return {
        "machine": _machine(device.machine),
        "emulated": device.emulated,
        "bundle_sha256": device.bundle_sha256,
        "images": device.images,
        "reference_top1": _finite(device.reference_top1),
        "verdict": device.verdict.value,
        "artifacts": [_artifact(row, reference_s) for row in device.artifacts],
        "agreement_here": {row.name: agreement_with(device, row) for row in here},
        "failed": [{"name": gone.name, "reason": gone.reason} for gone in device.failed],
        "left_out": [{"name": gone.name, "reason": gone.reason} for gone in device.left_out],
    }


def _quantization(result: QuantizationResult) -> JsonObject:
    return {
        "calibration_sha256": result.calibration_sha256,
        "pictures": result.pictures,
        "method": result.method,
        "findings": dict(result.findings),
        "layers": [_layer(layer) for layer in result.layers],
        "trials": [
            _trial(trial, place == result.best) for place, trial in enumerate(result.trials)
        ],
    }


def _layer(layer: LayerQuantization) -> JsonObject:
    return {
        "layer": layer.layer,
        "kinds": list(layer.kinds),
        "low": _finite(layer.low),
        "high": _finite(layer.high),
        "output_sqnr_db": _finite(layer.output_sqnr_db),
        "output_sqnr_exact": layer.output_sqnr_db == math.inf,
        "logits_sqnr_db": _finite(layer.logits_sqnr_db),
        "logits_sqnr_exact": layer.logits_sqnr_db == math.inf,
        "agreement": _finite(layer.agreement),
        "share": _finite(layer.share),
    }


def _trial(trial: QuantizationTrial, best: bool) -> JsonObject:
    return {
        "layer": trial.layer,
        "float_layers": list(trial.float_layers),
        "agreement": _finite(trial.agreement),
        "sqnr_db": _finite(trial.sqnr_db),
        "sqnr_exact": trial.sqnr_db == math.inf,
        "bytes": trial.bytes,
        "latency_ms": _ms(trial.latency_s),
        "holds": trial.holds,
        "best": best,
    }


def _reference_p50_s(content: ReportContent) -> float | None:
    reference = content.reference
    return reference.latency.p50_s if reference and reference.latency else None


def _ms(seconds: float) -> float | None:
    return _finite(seconds * 1e3)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
