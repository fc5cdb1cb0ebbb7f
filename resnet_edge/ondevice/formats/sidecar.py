"""The sidecar of an exported file: what the file is and what it was made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from resnet_edge.errors import ArtifactError
from resnet_edge.ondevice.files import StrPath, hash_path
from resnet_edge.ondevice.formats.kinds import ARTIFACT_NAMES, Format, Precision, Quantization
from resnet_edge.ondevice.json_records import read_record, write_record

SIDECAR_VERSION = 1


@dataclass(frozen=True)
class CalibrationRecord:
    """The pictures that the ranges of a quantized artifact were measured on."""

    sha256: str
    """The hash of ``calibration.json``, which lists the pictures and their hashes."""
    pictures: int
    seed: int
    source: str
    """Their origin: a split of the data set, or a folder."""
    method: str
    """The quantization level, and the options that were given besides."""


@dataclass(frozen=True)
class Sidecar:
    """``NAME.json`` beside an artifact."""

    name: str
    format: Format
    precision: Precision
    quantization: Quantization
    input_name: str
    input_dtype: str
    input_shape: tuple[int | None, ...]
    """Batch, height, width, channels; None where the batch size is free."""
    output_name: str
    output_dtype: str
    output_shape: tuple[int | None, ...]
    preprocessing: str
    """The name of what the graph itself does to raw RGB in [0, 255]; the caller does nothing."""
    fit: str
    """The way a picture is brought to the input size, a value of ``Fit``."""
    labels: tuple[str, ...]
    bytes: int
    sha256: str
    model_name: str
    model_sha256: str
    parameters: int
    multiply_adds: int
    """Multiply-adds of one inference, batch 1, after the rewrites."""
    multiply_adds_before: int
    """The same of the model as it was given."""
    rewrites: tuple[str, ...]
    """Exact changes that were made to the graph (``converters.rewrites``), in order."""
    calibration: CalibrationRecord | None
    tools: dict[str, str]
    options: dict[str, str]
    findings: dict[str, str] = field(default_factory=dict)
    """Facts in words that its making brought to light, for instance unstable ranges."""
    schema: int = SIDECAR_VERSION

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the input in pixels."""
        height, width = self.input_shape[1], self.input_shape[2]
        if height is None or width is None:
            raise ArtifactError(f"{self.name}: input size is free; expected a fixed one")
        return height, width


@dataclass(frozen=True)
class Artifact:
    """An exported file together with its sidecar."""

    path: Path
    sidecar: Sidecar

    @property
    def name(self) -> str:
        """The artifact's name, for instance ``int8.tflite``."""
        return self.sidecar.name


def sidecar_path(artifact: Path) -> Path:
    """Return the path of the sidecar of ``artifact``."""
    return artifact.parent / f"{artifact.name}.json"


def write_sidecar(artifact: Path, sidecar: Sidecar) -> None:
    """Write ``sidecar`` beside ``artifact``.

    Raises:
        OutputError: It cannot be written.
    """
    write_record(sidecar_path(artifact), sidecar)


def load_artifact(path: StrPath, *, verify: bool = True) -> Artifact:
    """Read an artifact's sidecar and check the file against it.

    Args:
        path: The exported file or SavedModel folder.
        verify: True compares the file's SHA-256 with the sidecar's.

    Raises:
        ArtifactError: File or sidecar is missing or damaged, or they do not belong together.
    """
    path = Path(path)
    if not path.exists():
        raise ArtifactError(f"{path}: no such artifact; make it with `resnet-edge export`")
    sidecar = read_record(Sidecar, sidecar_path(path), ArtifactError)
    if verify and (actual := hash_path(path)) != sidecar.sha256:
        raise ArtifactError(
            f"{path}: sha256 is {actual[:16]}…, its sidecar says {sidecar.sha256[:16]}…; "
            "the file was changed or damaged after export; export it again"
        )
    return Artifact(path, sidecar)


def recorded_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every artifact of a folder by name, as its sidecar has it.

    Args:
        folder: ``OUT/artifacts``.

    Raises:
        ArtifactError: A sidecar is missing or damaged.
    """
    names = [name for name in ARTIFACT_NAMES if (folder / name).exists()]
    return {name: load_artifact(folder / name, verify=False).sidecar.sha256 for name in names}


def exported_names(folder: Path) -> tuple[str, ...]:
    """Return the names of a folder's artifacts, those with a sidecar, in the order of the tables.

    Raises:
        ArtifactError: There is none.
    """
    names = tuple(name for name in ARTIFACT_NAMES if sidecar_path(folder / name).exists())
    if not names:
        raise ArtifactError(f"{folder}: no artifacts here; make them with `resnet-edge export`")
    return names


def load_artifacts(folder: StrPath, names: tuple[str, ...] | None = None) -> tuple[Artifact, ...]:
    """Read every artifact of a folder, in the order of the tables.

    Args:
        folder: ``OUT/artifacts``.
        names: Only these; each must be there. None takes all that have a sidecar.

    Raises:
        ArtifactError: None found, one of ``names`` is missing, or one does not match its sidecar.
    """
    folder = Path(folder)
    if names is None:
        names = exported_names(folder)
    return tuple(load_artifact(folder / name) for name in names)
