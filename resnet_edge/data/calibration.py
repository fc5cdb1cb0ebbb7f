"""The pictures that ranges of quantized files are measured on: chosen, and written down by hash."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.data.address import Source
from resnet_edge.data.dataset import Picture
from resnet_edge.data.picture_list import ListedPicture, find_pictures, list_pictures
from resnet_edge.errors import DataError, UsageError
from resnet_edge.ondevice.json_records import read_record, write_record

CALIBRATION_VERSION = 1


@dataclass(frozen=True)
class CalibrationSet:
    """Pictures for calibration and how they were chosen."""

    pictures: tuple[Picture, ...]
    """By rank within the class, then by class: any first part of it is balanced as well."""
    labels: tuple[str, ...]
    requested: int
    seed: int
    source: str
    """Their origin: ``training split`` or a folder."""

    @property
    def summary(self) -> str:
        """One sentence for people, which says so when there were fewer than requested."""
        fewer = (
            f" (all there are; {self.requested} were requested)"
            if len(self.pictures) < self.requested
            else ""
        )
        return f"{len(self.pictures)} pictures from {self.source}, seed {self.seed}{fewer}"


@dataclass(frozen=True)
class _CalibrationFile:
    source: str
    seed: int
    requested: int
    labels: tuple[str, ...]
    pictures: tuple[ListedPicture, ...]
    schema: int = CALIBRATION_VERSION


def choose_calibration(
    pictures: Sequence[Picture],
    labels: tuple[str, ...],
    count: int = 200,
    seed: int = 0,
    source: str = "training split",
) -> CalibrationSet:
    """Choose pictures in equal numbers from every class.

    Within a class they are ranked by the SHA-256 of seed and content: random to the eye, the same
    for the same pictures in whatever order, and little changed when pictures are added. A class
    that runs out leaves its places to the others.

    Args:
        pictures: The candidates: the training split, never the test split.
        labels: Names of the classes.
        count: Number of pictures. 200 lies in the 100 to 500 that TensorFlow's guide to
            post-training quantization asks for.
        seed: Another seed chooses other pictures.
        source: Written down with them.

    Returns:
        ``count`` pictures without copies, or all where there are fewer.

    Raises:
        UsageError: ``count`` is below 1.
        DataError: There are no pictures.
    """
    if count < 1:
        raise UsageError(f"{count} calibration pictures requested; expected at least 1")
    if not pictures:
        raise DataError(f"no calibration pictures in {source}; expected at least one")
    originals: dict[str, Picture] = {}
    for picture in sorted(pictures, key=lambda p: (p.label, p.name)):
        originals.setdefault(picture.sha256, picture)
    ranked: dict[int, list[Picture]] = {}
    for picture in sorted(originals.values(), key=lambda p: _rank(p, seed)):
        ranked.setdefault(picture.label, []).append(picture)
    in_turn = sorted(
        (rank, label) for label, members in ranked.items() for rank in range(len(members))
    )
    chosen = tuple(ranked[label][rank] for rank, label in in_turn[:count])
    return CalibrationSet(chosen, labels, count, seed, source)


def _rank(picture: Picture, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{picture.sha256}".encode()).hexdigest()


def write_calibration(path: Path, calibration: CalibrationSet) -> None:
    """Write ``calibration.json``: names, labels and hashes, no place on this machine.

    Raises:
        OutputError: It cannot be written.
    """
    entries = list_pictures(calibration.pictures)
    c = calibration
    write_record(path, _CalibrationFile(c.source, c.seed, c.requested, c.labels, entries))


def read_calibration(path: Path, root: Source, training: Sequence[Picture] = ()) -> CalibrationSet:
    """Read ``calibration.json``.

    Args:
        path: The file.
        root: The folder that the pictures' names are relative to.
        training: Pictures that the set may have been chosen from, whose places are known.

    Returns:
        The set as it was written. Decoding checks that the files are still the same.

    Raises:
        DataError: The file is missing, damaged or of another version.
    """
    record = read_record(_CalibrationFile, path, DataError)
    if not all(0 <= entry.label < len(record.labels) for entry in record.pictures):
        raise DataError(f"{path}: a label without a name; the file is damaged, run finetune again")
    known = {(p.name, p.label, p.sha256): p for p in training}
    pictures = tuple(
        known.get((found.name, found.label, found.sha256), found)
        for found in find_pictures(record.pictures, root)
    )
    return CalibrationSet(pictures, record.labels, record.requested, record.seed, record.source)
