"""What an export worker is told, and how it answers: files and lines of JSON, so that any process
can be it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.ondevice.formats.kinds import Format, artifact_kind
from resnet_edge.ondevice.formats.sidecar import CalibrationRecord
from resnet_edge.options import QuantizationOptions


@dataclass(frozen=True)
class ExportJob:
    """The artifacts of one file format that are made of one model."""

    model: Path
    model_sha256: str
    model_name: str
    artifacts: Path
    """The folder they go to."""
    format: Format
    names: tuple[str, ...]
    """None, where another worker only needs the quantization."""
    labels: tuple[str, ...]
    preprocessing: str
    fit: str
    calibration: CalibrationRecord | None
    pictures: Path | None
    """Decoded calibration pictures, uint8 ``(n, height, width, 3)``, as ``.npy``."""
    quantization: QuantizationOptions
    quantized: Path
    """Where the quantization is kept that all integer artifacts share."""
    findings: Path
    """``results/quantization.json``."""
    tools: dict[str, str]
    options: dict[str, str]
    rewrites: bool
    """Whether the graph is rewritten for speed, or only where the formats need it."""
    threads: int

    def options_of(self, name: str) -> dict[str, str]:
        """What an artifact's sidecar says it was told, beyond what has a field of its own."""
        told = self.options if self.rewrites else {**self.options, "rewrites": "no"}
        target = self.quantization.onnx_target
        kind = artifact_kind(name)
        if not kind.calibrated:
            return told
        if kind.format is Format.ONNX:
            return {**told, "onnx-int8": str(target)}
        return {**told, "int8-weights": str(target.grid)}  # those of int8.onnx


@dataclass(frozen=True)
class ExportPlan:
    """What one worker process does: jobs that share a model."""

    jobs: tuple[ExportJob, ...]


@dataclass(frozen=True)
class ExportResult:
    """The artifacts that one worker process wrote."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class ExportEvent:
    """How far a conversion is."""

    artifact: str
    stage: str
    done: int
    total: int
    words: str = ""
    """The figures so far."""


Report = Callable[[ExportEvent], None]
"""Is told how far a worker is."""
