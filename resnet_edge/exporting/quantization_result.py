"""The record of a quantization, between ``export`` and ``report``.

Times are seconds, sizes bytes, shares in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

from converters.quantization.findings import LayerSensitivity, PrecisionTrial
from resnet_edge.ondevice.measurements import SCHEMA_VERSION

__all__ = ["LayerSensitivity", "PrecisionTrial", "QuantizationResult"]


@dataclass(frozen=True)
class QuantizationResult:
    """``results/quantization.json``: how integer artifacts were made, and what each layer costs."""

    model_sha256: str
    calibration_sha256: str
    pictures: int
    method: str
    findings: dict[str, str]
    """Findings in words, by what they are about."""
    layers: tuple[LayerSensitivity, ...]
    """In the order of the graph."""
    trials: tuple[PrecisionTrial, ...]
    """In the order they were made."""
    best: int | None = None
    """Place of the trial whose layers in float were taken."""
    float32_sha256: str = ""
    """SHA-256 of the float32 file that was quantized; a search goes on only if it is the same."""
    schema: int = SCHEMA_VERSION
