"""``reference.npz``: the full-precision answers that every artifact is compared with.

The file holds no pickles.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from resnet_edge.errors import ReferenceFileError
from resnet_edge.ondevice.array_files import (
    map_member_array,
    read_member_array,
    write_member_array,
)
from resnet_edge.ondevice.files import write_file
from resnet_edge.ondevice.json_records import from_json, to_json
from resnet_edge.ondevice.measurements import Latency, Throughput
from resnet_edge.ondevice.reading import parse_json, refusing
from resnet_edge.ondevice.row_blocks import Rows, all_finite

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
    """Float32 ``(n, classes)``; mapped from disk where it was read."""
    logits: Rows
    """Centred log-probabilities, float64 ``(n, classes)``: logits up to a constant, which
    a softmax does not keep. Mapped, or computed when they are asked for."""
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
        numbers = all_finite(self.probabilities) and all_finite(self.logits)
        known = np.isin(self.classes, np.arange(len(self.info.labels)))
        return bool(numbers and known.all())


def write_reference(path: Path, reference: Reference) -> None:
    """Write ``reference.npz``: all of it or nothing.

    Raises:
        OutputError: It cannot be written.
    """
    info = np.frombuffer(json.dumps(to_json(reference.info)).encode(), np.uint8)

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            write_member_array(archive, "info", info, "|u1")
            write_member_array(archive, "probabilities", reference.probabilities, "<f4")
            write_member_array(archive, "logits", reference.logits, "<f8")
            write_member_array(archive, "classes", reference.classes, "<i8")

    write_file(path, write)


def read_reference(path: Path) -> Reference:
    """Read ``reference.npz``; its answers are mapped, not held.

    Raises:
        ReferenceFileError: It is missing, damaged, not a reference, or of another version.
    """
    if not path.exists():
        raise ReferenceFileError(f"{path}: no such file; make it with `resnet-edge reference`")

    def refusal(reason: str) -> ReferenceFileError:
        return ReferenceFileError(
            f"{path}: not a reference file ({reason}); make it again with `resnet-edge reference`"
        )

    with refusing(refusal), path.open("rb") as file, zipfile.ZipFile(file) as archive:
        data = parse_json(read_member_array(archive, "info").tobytes())
        probabilities = map_member_array(file, archive, "probabilities")
        logits = map_member_array(file, archive, "logits")
        classes = read_member_array(archive, "classes")
    info = from_json(ReferenceInfo, data, str(path), ReferenceFileError)
    try:
        return Reference(info, probabilities, logits, classes)
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
