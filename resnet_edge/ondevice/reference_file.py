"""``reference.npz``: the full-precision answers that every artifact is compared with.

The file holds no pickles.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from resnet_edge.errors import ReferenceFileError
from resnet_edge.ondevice.array_files import read_member_array
from resnet_edge.ondevice.files import write_bytes
from resnet_edge.ondevice.json_records import from_json, to_json
from resnet_edge.ondevice.measurements import Latency, Throughput
from resnet_edge.ondevice.reading import parse_json, refusing

REFERENCE_VERSION = 1


@dataclass(frozen=True)
class ReferenceInfo:
    """The reference's description, beside its numbers."""

    model_sha256: str
    device: str
    """In words, for instance ``CPU: no GPU was found (AMD EPYC)``."""
    backend: str
    """Keras backend with its version."""
    dtype: str
    preprocessing: str
    labels: tuple[str, ...]
    pictures: tuple[str, ...]
    """Names of the test pictures."""
    hashes: tuple[str, ...]
    """SHA-256 of the test pictures' files."""
    latency: Latency
    versions: dict[str, str]
    schema: int = REFERENCE_VERSION
    details: dict[str, str] = field(default_factory=dict)
    """More about the device: driver, CUDA and the like, as far as they can be found."""
    float32: str = ""
    """The proof that the device multiplies in full float32; empty if there is none."""
    throughput: tuple[Throughput, ...] = ()
    throughput_stopped: str = ""
    """The reason why larger batches were left out; empty if none was."""
    pixels_sha256: str = ""
    """The hash of all pixels that were answered, in order."""
    host: str = ""
    """Name of the machine that answered."""
    adopted: bool = False
    """True if it was brought into the build by ``reference --from``."""
    fit: str = ""
    """The way pictures were brought to the input size; empty in files of earlier versions."""


@dataclass(frozen=True)
class Reference:
    """Full-precision answers for the test split."""

    info: ReferenceInfo
    probabilities: np.ndarray
    """Float32 ``(n, classes)``."""
    logits: np.ndarray
    """Centred log-probabilities, float64 ``(n, classes)``: logits up to a constant, which
    a softmax does not keep."""
    classes: np.ndarray
    """True class of each picture, int64 ``(n,)``."""

    def __post_init__(self) -> None:
        count = len(self.info.hashes)
        shape = (count, len(self.info.labels))
        if self.probabilities.shape != shape or self.logits.shape != shape:
            raise ReferenceFileError(
                f"reference: answers of shape {self.probabilities.shape}; expected {shape}; "
                "make it again with `resnet-edge reference`"
            )
        if self.classes.shape != (count,) or len(self.info.pictures) != count:
            raise ReferenceFileError(
                f"reference: {self.classes.size} classes for {count} pictures; "
                "make it again with `resnet-edge reference`"
            )
        if not self._answers_hold():
            raise ReferenceFileError(
                "reference: NaN, infinity or a class without a label in its numbers; "
                "make it again with `resnet-edge reference`"
            )

    def _answers_hold(self) -> bool:
        numbers = np.isfinite(self.probabilities).all() and np.isfinite(self.logits).all()
        known = np.isin(self.classes, np.arange(len(self.info.labels)))
        return bool(numbers and known.all())


def write_reference(path: Path, reference: Reference) -> None:
    """Write ``reference.npz``: all of it or nothing.

    Raises:
        OutputError: It cannot be written.
    """
    stream = io.BytesIO()
    np.savez(
        stream,
        info=np.frombuffer(json.dumps(to_json(reference.info)).encode(), np.uint8),
        probabilities=reference.probabilities,
        logits=reference.logits,
        classes=reference.classes,
    )
    write_bytes(path, stream.getvalue())


def read_reference(path: Path) -> Reference:
    """Read ``reference.npz``.

    Raises:
        ReferenceFileError: It is missing, damaged, not a reference, or of another version.
    """
    if not path.exists():
        raise ReferenceFileError(f"{path}: no such file; make it with `resnet-edge reference`")

    def refusal(reason: str) -> ReferenceFileError:
        return ReferenceFileError(
            f"{path}: not a reference file ({reason}); make it again with `resnet-edge reference`"
        )

    with refusing(refusal), zipfile.ZipFile(path) as archive:
        data = parse_json(read_member_array(archive, "info").tobytes())
        names = ("probabilities", "logits", "classes")
        numbers = [read_member_array(archive, name) for name in names]
    info = from_json(ReferenceInfo, data, str(path), ReferenceFileError)
    try:
        return Reference(info, *numbers)
    except ReferenceFileError as problem:
        raise ReferenceFileError(f"{path}: {problem}") from problem


def check_model(reference: Reference, model_sha256: str, what: str) -> None:
    """Refuse a reference of another model.

    Raises:
        ReferenceFileError: The hashes differ.
    """
    if reference.info.model_sha256 != model_sha256:
        raise ReferenceFileError(
            f"reference is of model {reference.info.model_sha256[:16]}…, {what} is of "
            f"{model_sha256[:16]}…; make it again with `resnet-edge reference`"
        )
