"""The records that tell an export worker what to make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from converters.quantization.settings import WeightGrid
from resnet_edge.errors import ArtifactError
from resnet_edge.ondevice.formats.kinds import ArtifactKind, Format, artifact_kind
from resnet_edge.ondevice.formats.sidecar import CalibrationRecord
from resnet_edge.options import QuantizationOptions
from resnet_edge.scale.engine import Engine


@dataclass(frozen=True)
class LessonInputs:
    """Labelled pictures that ``--quantization distilled`` and ``trained`` learn from."""

    sha256: str
    """Over the hashes and classes of all pictures, and whether they are varied."""
    pictures: Path
    """Decoded training pictures, uint8 ``(n, height, width, 3)``, as ``.npy``."""
    labels: tuple[int, ...]
    validation: Path
    """Decoded validation pictures."""
    validation_labels: tuple[int, ...]
    augment: bool
    """True to vary the training pictures at random, as the float model's training did."""


@dataclass(frozen=True)
class IntegerInputs:
    """Inputs that all integer artifacts of an export share."""

    calibration: CalibrationRecord
    pictures: Path
    """Decoded calibration pictures, uint8 ``(n, height, width, 3)``, as ``.npy``."""
    options: QuantizationOptions
    quantized: Path
    """The file for the quantization that all integer artifacts take their weights from."""
    findings: Path
    """``results/quantization.json``."""
    engine: Engine
    """Computes the passes over the calibration pictures."""
    lessons: LessonInputs | None = None
    """None where nothing is learned, or where the calibration pictures are all there are."""


@dataclass(frozen=True)
class ExportInputs:
    """Inputs that all artifacts of an export share."""

    model: Path
    model_sha256: str
    model_name: str
    labels: tuple[str, ...]
    preprocessing: str
    fit: str
    size: tuple[int, int]
    """Height and width of the pictures."""
    rewrites: bool
    """True if the graph is rewritten for speed, False if only where the formats need it."""
    artifacts: Path
    """The folder that the artifacts are written to."""
    integer: IntegerInputs | None
    """None where no integer artifact is asked for."""

    @property
    def staging(self) -> Path:
        """The folder of artifacts that are written and not yet tried."""
        return self.artifacts / ".made.part"

    @property
    def for_integers(self) -> IntegerInputs:
        """The inputs of integer artifacts.

        Raises:
            ArtifactError: The export has no calibration pictures.
        """
        if self.integer is None:
            raise ArtifactError("calibration: no pictures; pass --calibration DIR")
        return self.integer

    def calibration_of(self, kind: ArtifactKind) -> CalibrationRecord | None:
        """Return the calibration in the sidecar of an artifact."""
        return self.for_integers.calibration if kind.calibrated else None

    def options_of(self, kind: ArtifactKind) -> dict[str, str]:
        """Return the options in an artifact's sidecar that have no field of their own."""
        told = {} if self.rewrites else {"rewrites": "no"}
        if not kind.calibrated:
            return told
        options = self.for_integers.options
        if (lessons := self.for_integers.lessons) is not None:
            told["lessons"] = f"{len(lessons.labels)} pictures, {lessons.sha256[:16]}"
        if kind.format is Format.ONNX:
            return {**told, "onnx-int8": str(options.onnx_target)}
        # What is learned is learned in the grid of int8.onnx.
        grid = options.onnx_target.grid if options.level.learns else WeightGrid.FULL
        return {**told, "int8-weights": str(grid)}


@dataclass(frozen=True)
class ExportJob:
    """The artifacts of one file format."""

    inputs: ExportInputs
    format: Format
    names: tuple[str, ...]
    """Empty where the format is needed for the quantization alone."""
    tools: dict[str, str]
    """Versions of the packages that make the format."""
    quantizes: bool = False
    """True if the quantization, which all integer artifacts share, is made with this format."""

    def __post_init__(self) -> None:
        if not self.names and not self.quantizes:
            raise ValueError(f"a job of {self.format.value} that makes nothing")

    @property
    def calibrated(self) -> bool:
        """True if some of the artifacts need the quantization."""
        return any(artifact_kind(name).calibrated for name in self.names)


@dataclass(frozen=True)
class ExportPlan:
    """The work of one process: jobs with the same inputs."""

    jobs: tuple[ExportJob, ...]


@dataclass(frozen=True)
class ExportResult:
    """The artifacts that one process wrote."""

    names: tuple[str, ...]
