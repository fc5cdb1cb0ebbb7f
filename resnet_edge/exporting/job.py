"""The records that tell an export worker what to make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnet_edge.errors import ArtifactError
from resnet_edge.ondevice.formats.kinds import Format, artifact_kind
from resnet_edge.ondevice.formats.sidecar import CalibrationRecord
from resnet_edge.options import QuantizationOptions


@dataclass(frozen=True)
class IntegerInputs:
    """What all integer artifacts of an export share."""

    calibration: CalibrationRecord
    pictures: Path
    """Decoded calibration pictures, uint8 ``(n, height, width, 3)``, as ``.npy``."""
    options: QuantizationOptions
    quantized: Path
    """The file for the quantization that all integer artifacts take their weights from."""
    findings: Path
    """``results/quantization.json``."""


@dataclass(frozen=True)
class ExportInputs:
    """What all artifacts of an export share."""

    model: Path
    model_sha256: str
    model_name: str
    labels: tuple[str, ...]
    preprocessing: str
    fit: str
    rewrites: bool
    """True if the graph is rewritten for speed, False if only where the formats need it."""
    artifacts: Path
    """The folder that the artifacts are written to."""
    threads: int
    integer: IntegerInputs | None
    """None where no integer artifact is asked for."""


@dataclass(frozen=True)
class ExportJob:
    """The artifacts of one file format."""

    inputs: ExportInputs
    format: Format
    names: tuple[str, ...]
    """Empty where another format needs the quantization and nothing else is to be made."""
    tools: dict[str, str]
    """Versions of the packages that make the format."""

    @property
    def calibrated(self) -> bool:
        """True if some of the artifacts need the quantization."""
        return any(artifact_kind(name).calibrated for name in self.names)

    @property
    def quantizes(self) -> bool:
        """True if the process of this job makes the quantization, of the format that does."""
        return self.calibrated or not self.names

    @property
    def integer(self) -> IntegerInputs:
        """What integer artifacts share.

        Raises:
            ArtifactError: The export has no calibration pictures.
        """
        if self.inputs.integer is None:
            raise ArtifactError("calibration: no pictures; pass --calibration DIR")
        return self.inputs.integer

    def options_of(self, name: str) -> dict[str, str]:
        """Return the options in an artifact's sidecar that have no field of their own."""
        told = {} if self.inputs.rewrites else {"rewrites": "no"}
        kind = artifact_kind(name)
        if not kind.calibrated:
            return told
        target = self.integer.options.onnx_target
        if kind.format is Format.ONNX:
            return {**told, "onnx-int8": str(target)}
        return {**told, "int8-weights": str(target.grid)}  # those of int8.onnx


@dataclass(frozen=True)
class ExportPlan:
    """The work of one process: jobs with the same inputs."""

    jobs: tuple[ExportJob, ...]


@dataclass(frozen=True)
class ExportResult:
    """The artifacts that one process wrote."""

    names: tuple[str, ...]
