"""``report.json``: the report for scripts.

Numbers are finite or null, so every JSON reader accepts the file. A figure that was not measured is
null, and so is NaN, which shows in the verdict (``fail``) and its reason. An SQNR without limit
(the artifact's answers equal the reference's bit for bit) is ``"sqnr_db": null`` beside
``"sqnr_exact": true``. Shares are in [0, 1], ``_ms`` are milliseconds, sizes bytes.

``findings`` are sentences: harm that top-1 does not show, and that is not chance. ``changes`` has
an artifact's changes from the reference with 95 % intervals: top-1, top-5 (null with five classes
or fewer), calibration with the points of the reliability diagram, flips by the reference's margin,
classes (their intervals hold together), the confusions that are new, and those that the reference
has most. It is null where the record of ``parity`` does not hold them. ``verdict`` names the gates
of calibration and classes only where a limit was given.

``take`` is the artifact to take on this machine, null where none is proven. ``undecided`` has the
artifacts that the test pictures neither prove nor refute: ``images`` there are, about
``images_needed`` more decide all of them; it is null where no number does.

``latency`` is the one to deploy in the preferred runtime: the lowest median, or one that is as fast
with fewer threads. ``latencies`` holds all. ``elsewhere`` has the answers in further runtimes; the
verdict does not depend on them. ``failed`` holds the artifacts that could not be made, each with
the reason; ``refused`` the further runtimes here that refused an artifact, which fails nothing.
``corruptions`` has each corruption of the test pictures that was asked for, with the
artifacts' answers under it; one that fails there fails as a whole. ``quantization`` is null if
nothing is known of it. ``devices`` holds each device's measurements of the same files, on a sample
of the test split; its ``agreement_here`` is the share of these pictures to which the same file
gives the same answer on this machine. Its ``failed`` holds what could not be measured: an artifact
in a ``runtime``, or as a whole where that is null. An artifact that came through in another runtime
has not failed. Its ``browser`` is null where Python measured.

In a latency, ``p90_bound_ms`` is an upper bound of the 90th percentile with 99 % confidence
(MLPerf's early stopping; null below 64 queries), ``drift`` the relative change of the median from
the first half of the samples to the second, ``doubts`` the warnings, each with its advice. Where
``queries_per_sample`` is not 1, each sample is the mean of so many queries, and percentiles say
less.
``conditions`` is null if they were not read, as in older records; in it, null or an empty list is
what the machine does not report, and loads are numbers of cores. ``verdict.queries_needed`` is the
number of queries in all that an inconclusive latency gate needs.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from resnet_edge.exporting.quantization_result import QuantizationResult
from resnet_edge.ondevice.latency.cpu_state import MeasuringConditions
from resnet_edge.ondevice.latency.warnings import advice_for, find_warnings
from resnet_edge.ondevice.measurements import ArtifactParity, Latency, Provider
from resnet_edge.reporting.answer import find_answer
from resnet_edge.reporting.content import (
    ArtifactRow,
    DeviceSection,
    ModelSection,
    ReferenceSection,
    ReportContent,
)
from resnet_edge.reporting.device_agreement import agreement_with
from resnet_edge.robustness.record import CorruptedReference

JsonValue: TypeAlias = "str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None"
JsonObject: TypeAlias = dict[str, JsonValue]

REPORT_VERSION = 1

_FIGURES = (
    *("top1", "top5", "agreement", "sqnr_db"),
    *("max_abs_logit", "mean_abs_logit", "logit_range", "cosine", "kl"),
)
"""Figures of ``ArtifactParity``."""

_TIMES = ("p50_s", "p90_s", "p90_bound_s", "p97_s", "p99_s", "mean_s", "first_s", "load_s")
"""Times of ``Latency``."""


def report_json(content: ReportContent) -> JsonObject:
    """Return the content of ``report.json`` in JSON's types, without NaN and infinity."""
    from resnet_edge.reporting.findings import find_findings  # loads NumPy

    reference = content.reference
    reference_s = reference.latency.p50_s if reference and reference.latency else None
    quantization, answer = content.quantization, find_answer(content)
    return {
        "schema": REPORT_VERSION,
        "made_by": content.made_by,
        "verdict": content.verdict.value,
        "take": answer.take,
        "findings": list(find_findings(content)),
        "undecided": [_values(undecided) for undecided in answer.undecided],
        "model": _model(content.model),
        "data": _values(content.data),
        "reference": _reference(reference),
        "artifacts": [_artifact(row, reference_s) for row in content.artifacts],
        "failed": [_values(failure) for failure in content.failed],
        "refused": [_values(gone) for gone in content.refused],
        "machine": None if content.machine is None else _values(content.machine),
        "notes": list(content.notes),
        "corruptions": [_corruption(reference, content) for reference in content.corrupted],
        "quantization": None if quantization is None else _quantization(quantization),
        "devices": [_device(device, content, reference_s) for device in content.devices],
    }


def _json(value: object) -> JsonValue:
    """Return a value, or a record with all its fields, in JSON's types."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _values(value)
    if isinstance(value, enum.Enum):
        return _json(value.value)
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    raise TypeError(f"got {type(value).__name__}; expected a record, or what JSON has")


def _values(record: object, names: Iterable[str] | None = None) -> JsonObject:
    """Return fields and properties of a record by their names.

    A time in seconds, ``…_s``, is given in milliseconds as ``…_ms``. Beside a ratio ``…sqnr_db``
    stands ``…sqnr_exact``: true where the ratio has no limit.

    Args:
        record: A dataclass, or None, of which every value is null.
        names: None takes all fields.
    """
    if names is None:
        names = [field.name for field in dataclasses.fields(record)]  # type: ignore[arg-type]
    found: JsonObject = {}
    for name in names:
        value = None if record is None else getattr(record, name)
        if name.endswith("_s") and not name.endswith("_per_s"):
            found[f"{name[:-2]}_ms"] = None if value is None else _json(1e3 * value)
        else:
            found[name] = _json(value)
        if name.endswith("sqnr_db"):
            found[f"{name[:-3]}_exact"] = value == math.inf
    return found


def _names(kind: type[object], *without: str) -> list[str]:
    """Return the names of a dataclass's fields, without some of them."""
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    return [field.name for field in fields if field.name not in without]


def _model(model: ModelSection) -> JsonObject:
    return {**_values(model), "classes": len(model.labels)}


def _reference(reference: ReferenceSection | None) -> JsonObject:
    if reference is None:
        return dict.fromkeys(_names(ReferenceSection, "confusion"))
    latency = reference.latency
    return {
        **_values(reference, _names(ReferenceSection, "confusion", "latency", "throughput")),
        "latency": None if latency is None else _latency(latency, None),
        "throughput": [
            {
                **_values(measured, ("batch", "pictures_per_s", "batch_s")),
                "samples": len(measured.samples_s),
            }
            for measured in reference.throughput
        ],
    }


def _artifact(row: ArtifactRow, reference_s: float | None) -> JsonObject:
    sidecar, parity, latency = row.sidecar, row.parity, row.latency
    latencies = row.bench.latencies if row.bench is not None else ()
    return {
        "name": row.name,
        **_values(sidecar, ("format", "precision", "quantization", "bytes", "sha256")),
        "runtime": row.runtime,
        "images": parity.images if parity else 0,
        **_values(parity, _FIGURES),
        "changed": len(parity.changed) if parity else None,
        "changes": _changes(parity),
        "collapse": parity.collapse if parity else None,
        "latency": None if latency is None else _latency(latency, reference_s),
        "latencies": [_latency(measured, reference_s) for measured in latencies],
        "elsewhere": [_in_further_runtime(other) for other in row.in_further_runtimes],
        "verdict": _verdict(row),
        "findings": dict(sidecar.findings),
    }


def _changes(parity: ArtifactParity | None) -> JsonObject | None:
    from resnet_edge.reporting.answer_changes import answer_changes  # loads NumPy

    found = answer_changes(parity) if parity is not None else None
    return None if found is None else _values(found)


def _in_further_runtime(parity: ArtifactParity) -> JsonObject:
    return {
        **_values(parity, ("runtime", "top1", "agreement", "sqnr_db")),
        **_values(parity.answers_gate, ("verdict", "reason")),
    }


def _verdict(row: ArtifactRow) -> JsonObject:
    accuracy, latency = row.accuracy_gate, row.latency_gate
    needed = row.answers_gate.images_needed
    return {
        "overall": row.verdict.value,
        "accuracy": accuracy.verdict.value,
        "latency": latency.verdict.value,
        **{gate.name: gate.result.verdict.value for gate in row.further_gates},
        **_values(accuracy, ("interval",)),
        "images_needed": needed,
        **_values(latency, ("queries_needed",)),
        "accuracy_reason": accuracy.reason,
        "latency_reason": latency.reason,
        **{f"{gate.name}_reason": gate.result.reason for gate in row.further_gates},
    }


def _latency(latency: Latency, reference_s: float | None) -> JsonObject:
    warnings = find_warnings(latency)
    provider, conditions = latency.provider, latency.conditions
    return {
        **_values(latency, ("runtime", "threads")),
        "samples": len(latency.samples_s),
        **_values(latency, ("queries_per_sample",)),
        **_values(latency, _TIMES),
        **_values(latency, ("peak_memory_bytes", "warmup", "spread", "noisy", "settled")),
        **_values(latency, ("drift", "drifting", "in_groups")),
        "doubts": [
            {"doubt": each.value, "advice": advice_for(each, warnings)} for each in warnings
        ],
        "reference_ratio": _json(latency.p50_s / reference_s) if reference_s else None,
        "provider": None if provider is None else _provider(provider),
        "conditions": None if conditions is None else _conditions(conditions),
    }


def _provider(provider: Provider) -> JsonObject:
    return {**_values(provider), "used": provider.used or None}


def _conditions(seen: MeasuringConditions) -> JsonObject:
    clocks: list[JsonValue] = [
        {**_values(clock), "governor": clock.governor or None, "limit_hz": clock.limit_hz or None}
        for clock in seen.clocks
    ]
    return {**_values(seen), "clocks": clocks}


def _device(device: DeviceSection, content: ReportContent, reference_s: float | None) -> JsonObject:
    measured = {row.name for row in device.artifacts}
    here = [row for row in content.artifacts if row.name in measured]
    return {
        **_values(device, _names(DeviceSection, "artifacts", "pictures")),
        "verdict": device.verdict.value,
        "artifacts": [_artifact(row, reference_s) for row in device.artifacts],
        "agreement_here": {row.name: agreement_with(device, row) for row in here},
    }


def _corruption(reference: CorruptedReference, content: ReportContent) -> JsonObject:
    found = [e for r in content.artifacts for e in r.corrupted]
    return {
        "corruption": reference.corruption.value,
        "strength": reference.corruption.words,
        "reference_top1": _json(reference.top1),
        "reference_collapse": reference.collapse,
        "artifacts": [
            {
                **_values(each, ("name", "runtime", "images", "top1", "agreement", "sqnr_db")),
                **_values(each.gate, ("verdict", "reason", "interval", "images_needed")),
            }
            for each in found
            if each.corruption is reference.corruption
        ],
    }


def _quantization(result: QuantizationResult) -> JsonObject:
    return {
        **_values(result, ("calibration_sha256", "pictures", "method", "findings", "layers")),
        "trials": [
            {**_values(trial), "best": place == result.best}
            for place, trial in enumerate(result.trials)
        ],
    }
