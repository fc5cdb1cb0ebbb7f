"""``reference-dark.npz`` and the like: the full-precision answers to corrupted pictures."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
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
from resnet_edge.ondevice.reading import parse_json, refusing
from resnet_edge.ondevice.reference_file import ReferenceInfo
from resnet_edge.ondevice.row_blocks import all_finite
from resnet_edge.robustness.corruptions import Corruption

SCHEMA = 1


@dataclass(frozen=True)
class CorruptedInfo:
    """The pictures that were answered, and by what."""

    corruption: Corruption
    method: int
    """``resnet_edge.robustness.corrupting.METHOD``."""
    model_sha256: str
    preprocessing: str
    fit: str
    labels: tuple[str, ...]
    hashes: tuple[str, ...]
    """SHA-256 of the test pictures' files."""
    pixels_sha256: str
    """The hash of all corrupted pixels, in order."""
    backend: str
    device: str
    float32: str
    """The proof that the device multiplies in full float32."""
    host: str
    versions: dict[str, str]
    schema: int = SCHEMA


@dataclass(frozen=True)
class CorruptedAnswers:
    """Full-precision answers to the test split under one corruption."""

    info: CorruptedInfo
    probabilities: np.ndarray
    """Float32 ``(n, classes)``, finite; mapped from disk where they were read."""

    def __post_init__(self) -> None:
        shape = (len(self.info.hashes), len(self.info.labels))
        if self.probabilities.shape != shape:
            raise ValueError(f"answers of shape {self.probabilities.shape}; expected {shape}")
        if not all_finite(self.probabilities):
            raise ValueError("NaN or infinity in its answers")


def write_answers(path: Path, answers: CorruptedAnswers) -> None:
    """Write the file: all of it or nothing.

    Raises:
        OutputError: It cannot be written.
    """
    info = np.frombuffer(json.dumps(to_json(answers.info)).encode(), np.uint8)

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            write_member_array(archive, "info", info, "|u1")
            write_member_array(archive, "probabilities", answers.probabilities, "<f4")

    write_file(path, write)


def read_answers(path: Path, corruption: Corruption) -> CorruptedAnswers:
    """Read the answers to pictures under a corruption.

    Raises:
        ReferenceFileError: The file is missing, damaged, or of another version or corruption.
    """
    again = f"`resnet-edge reference --corruptions {corruption.value}`"
    if not path.exists():
        raise ReferenceFileError(
            f"{path}: no such file, so there is nothing to compare answers under "
            f"{corruption.value} with; make it with {again}, which needs the model"
        )

    def refusal(reason: str) -> ReferenceFileError:
        return ReferenceFileError(
            f"{path}: no answers to corrupted pictures ({reason}); make it again with {again}"
        )

    with refusing(refusal):
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            data = parse_json(read_member_array(archive, "info").tobytes())
            probabilities = map_member_array(file, archive, "probabilities")
        info = from_json(CorruptedInfo, data, str(path), ReferenceFileError)
        if info.corruption is not corruption:
            raise ValueError(f"they are of {info.corruption.value}, not of {corruption.value}")
        return CorruptedAnswers(info, probabilities)


def check_same_questions(path: Path, info: CorruptedInfo, reference: ReferenceInfo) -> None:
    """Refuse answers of another model, or to other pictures, than the reference's.

    Raises:
        ReferenceFileError: They differ.
    """
    for what in differences(info, reference):
        raise ReferenceFileError(
            f"{path}: made with other {what} than the reference; make it again with "
            f"`resnet-edge reference --corruptions {info.corruption.value}`"
        )


def differences(info: CorruptedInfo, reference: ReferenceInfo) -> Iterator[str]:
    """Yield what differs, in a word or two."""
    if info.model_sha256 != reference.model_sha256:
        yield "weights"
    if info.preprocessing != reference.preprocessing:
        yield "preprocessing"
    if info.fit != reference.fit and reference.fit:  # earlier versions do not tell it
        yield "fit"
    if info.labels != reference.labels:
        yield "classes"
    if info.hashes != reference.hashes:
        yield "pictures"
