"""``inspect_file``: a model file's kind, inputs, outputs and quantization, and its sidecar."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnet_edge.errors import ArtifactError, UsageError
from resnet_edge.inspection.contents import Contents, Count, Endpoint, WeightGroup
from resnet_edge.inspection.readers import READERS, Reader
from resnet_edge.ondevice.files import hash_path, size_path
from resnet_edge.ondevice.formats.kinds import Format
from resnet_edge.ondevice.formats.sidecar import CalibrationRecord, Sidecar, sidecar_path
from resnet_edge.ondevice.json_records import read_record

MATCHES = "matches"
MISSING = "missing"
NOT_EXPECTED = "not expected: this is a model, not an exported file"

_SUFFIXES = [reader.suffix for reader in READERS if reader.suffix]
_EXPECTED = (
    f"expected a {', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]} file, or a SavedModel folder"
)


@dataclass(frozen=True)
class QuantizationReport:
    """The quantization of a file, and the source of that knowledge."""

    kind: str
    """A value of ``Quantization`` where one fits."""
    source: str
    """``sidecar``, or ``graph`` where it had to be deduced."""
    graph: str
    """The kind that the graph alone shows."""
    computations: tuple[Count, ...]
    """Operators with weights by how they compute: one that stayed float shows here."""
    weights: tuple[WeightGroup, ...]


@dataclass(frozen=True)
class Inspection:
    """Everything that ``inspect`` shows; ``json_records.to_json`` makes JSON of it."""

    path: Path
    kind: str
    """A title of ``resnet_edge.inspection.readers``, for instance ``TFLite``."""
    bytes: int
    sha256: str
    sidecar: str
    """``matches``, ``missing``, ``not expected: …`` or ``does not match: …``."""
    model_name: str | None
    parameters: int | None
    """Parameters of the model before export; None if neither sidecar nor file names them."""
    inputs: tuple[Endpoint, ...]
    outputs: tuple[Endpoint, ...]
    operators: tuple[Count, ...]
    quantization: QuantizationReport
    calibration: CalibrationRecord | None
    labels: tuple[str, ...] | None
    """In output order; None where neither the file nor a matching sidecar has any."""
    metadata: dict[str, str]
    notes: tuple[str, ...]
    """Facts that could not be found out, each with the reason."""


def inspect_file(path: Path) -> Inspection:
    """Read a model file, without running it.

    A sidecar counts only if its SHA-256 is the file's. Without one, everything comes from the file
    alone.

    Args:
        path: A ``.tflite``, ``.onnx`` or ``.keras`` file, or a SavedModel folder; anybody's, not
            only those that ``export`` made.

    Returns:
        The file's contents. A sidecar that does not match is reported, not raised.

    Raises:
        UsageError: There is no such file, or it is of another kind.
        ArtifactError: The file is empty, truncated, garbage, or cannot be read.
        RuntimeMissingError: The package that reads the format is not installed.
    """
    reader = _recognise(path)
    try:
        contents = reader.read(path)
        sha256, size_bytes = hash_path(path), size_path(path)
    except OSError as problem:
        raise ArtifactError(
            f"{path}: cannot be read ({problem.strerror or problem}); check its permissions"
        ) from problem
    sidecar, state = _read_sidecar(path, reader, sha256)
    return Inspection(
        path=path,
        kind=reader.title,
        bytes=size_bytes,
        sha256=sha256,
        sidecar=state,
        model_name=contents.model_name if sidecar is None else sidecar.model_name,
        parameters=contents.parameters if sidecar is None else sidecar.parameters,
        inputs=contents.inputs,
        outputs=contents.outputs,
        operators=contents.operators,
        quantization=_quantization(contents, sidecar),
        calibration=None if sidecar is None else sidecar.calibration,
        labels=sidecar.labels if contents.labels is None and sidecar else contents.labels,
        metadata=contents.metadata,
        notes=contents.notes,
    )


def _recognise(path: Path) -> Reader:
    if not path.exists():
        raise UsageError(f"{path}: no such file; {_EXPECTED}; check the path")
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return next(reader for reader in READERS if reader.format is Format.SAVED_MODEL)
        raise UsageError(f"{path}: a folder without saved_model.pb; {_EXPECTED}")
    suffix = path.suffix.lower()
    found = [reader for reader in READERS if reader.suffix and reader.suffix == suffix]
    if not found:
        raise UsageError(f"{path}: unknown kind of file {path.suffix or path.name!r}; {_EXPECTED}")
    if path.stat().st_size == 0:
        raise ArtifactError(
            f"{path}: 0 bytes; expected a whole {found[0].title} file; export or copy it again"
        )
    return found[0]


def _read_sidecar(path: Path, reader: Reader, sha256: str) -> tuple[Sidecar | None, str]:
    if reader.format is None:
        return None, NOT_EXPECTED
    beside = sidecar_path(path)
    if not beside.exists():
        return None, MISSING
    try:
        sidecar = read_record(Sidecar, beside, ArtifactError)
    except ArtifactError as problem:
        return None, f"does not match: {problem}"
    if sidecar.sha256 != sha256:
        return None, (
            f"does not match: sha256 is {sha256[:16]}…, the sidecar says {sidecar.sha256[:16]}…; "
            "the file was changed or damaged after export; export it again"
        )
    return sidecar, MATCHES


def _quantization(contents: Contents, sidecar: Sidecar | None) -> QuantizationReport:
    return QuantizationReport(
        kind=contents.quantization if sidecar is None else sidecar.quantization.value,
        source="graph" if sidecar is None else "sidecar",
        graph=contents.quantization,
        computations=contents.computations,
        weights=contents.weights,
    )
