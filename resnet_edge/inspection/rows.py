"""An inspection as rows of a table for people."""

from __future__ import annotations

from collections.abc import Iterator

from resnet_edge.inspection.contents import Endpoint, WeightGroup
from resnet_edge.inspection.inspection import Inspection, QuantizationReport
from resnet_edge.units import plural

SHOWN_LABELS = 10
"""The most labels that a row names; ``--json`` has all of them."""

Row = tuple[str, str]


def inspection_rows(inspection: Inspection) -> tuple[Row, ...]:
    """Return an inspection as (label, text), in reading order, without rows for unknown facts."""
    return tuple(_rows(inspection))


def _rows(inspection: Inspection) -> Iterator[Row]:
    yield "File", str(inspection.path)
    yield "Kind", inspection.kind
    if inspection.model_name:
        yield "Model", inspection.model_name
    if inspection.parameters is not None:
        yield "Parameters", f"{inspection.parameters:,}"
    for endpoint in inspection.inputs:
        yield "Input", _endpoint(endpoint)
    for endpoint in inspection.outputs:
        yield "Output", _endpoint(endpoint)
    yield "Quantization", _quantization(inspection.quantization)
    if len(inspection.quantization.computations) > 1:
        mixed = (f"{c.count} x {c.name}" for c in inspection.quantization.computations)
        yield "Mixed computation", "; ".join(mixed)
    for group in inspection.quantization.weights:
        yield "Weights", _weights(group)
    if calibration := inspection.calibration:
        yield (
            "Calibration",
            f"{calibration.pictures} pictures from {calibration.source}, seed {calibration.seed}, "
            f"{calibration.method}",
        )
    yield "Operators", _operators(inspection)
    yield "Labels", _labels(inspection.labels)
    for name, value in inspection.metadata.items():
        yield f"Metadata: {name}", value
    yield "Size", f"{inspection.bytes / 1e6:,.2f} MB ({inspection.bytes:,} bytes)"
    yield "SHA-256", inspection.sha256
    yield "Sidecar", inspection.sidecar
    for note in inspection.notes:
        yield "Note", note


def _endpoint(endpoint: Endpoint) -> str:
    if endpoint.shape is None:
        shape = "shape unknown"
    else:
        shape = "x".join("?" if size is None else str(size) for size in endpoint.shape) or "scalar"
    text = f"{endpoint.name}: {endpoint.dtype} {shape}"
    if endpoint.scale is None:
        return text
    return f"{text}, scale {endpoint.scale:.6g}, zero point {endpoint.zero_point}"


def _quantization(report: QuantizationReport) -> str:
    if report.source == "graph":
        return f"{report.kind} (read from the graph)"
    if report.graph == report.kind:
        return report.kind
    return f"{report.kind} (by its sidecar; the graph reads as: {report.graph})"


def _weights(group: WeightGroup) -> str:
    tensors = plural(group.tensors, "tensor")
    return f"{group.dtype} {group.granularity}: {tensors}, {group.values:,} values"


def _operators(inspection: Inspection) -> str:
    if not inspection.operators:
        return "not known"
    total = sum(operator.count for operator in inspection.operators)
    counts = ", ".join(f"{operator.name} {operator.count}" for operator in inspection.operators)
    return f"{total}: {counts}"


def _labels(labels: tuple[str, ...] | None) -> str:
    if labels is None:
        return "none in the file"
    more = f", … and {len(labels) - SHOWN_LABELS} more" if len(labels) > SHOWN_LABELS else ""
    return f"{len(labels)}: {', '.join(labels[:SHOWN_LABELS])}{more}"
