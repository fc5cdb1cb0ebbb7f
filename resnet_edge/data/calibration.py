"""The pictures that ranges of quantized files are measured on: chosen, and written down by hash."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resnet_edge.data.address import Source
from resnet_edge.data.picture_list import ListedPicture, find_pictures, list_pictures
from resnet_edge.data.pictures import Picture, Pictures, number_hashes, pictures_of
from resnet_edge.errors import DataError, UsageError
from resnet_edge.ondevice.json_records import read_record, write_record

CALIBRATION_VERSION = 1


@dataclass(frozen=True)
class CalibrationSet:
    """Pictures for calibration and how they were chosen."""

    pictures: Sequence[Picture]
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
    found = pictures_of(pictures)
    chosen = _in_turn(found, seed)[:count]
    return CalibrationSet(found[chosen], labels, count, seed, source)


def _in_turn(pictures: Pictures, seed: int) -> npt.NDArray[np.int64]:
    """Return the places of the first of each class, then of the second ones: int64 ``(n,)``."""
    first = _originals(pictures)
    hashes = pictures[first].hashes
    ranks = np.empty_like(hashes)
    for place, hashed in enumerate(hashes):
        text = f"{seed}:{hashed.tobytes().hex()}"
        ranks[place] = np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8)
    (rank,) = number_hashes(ranks)
    labels = pictures.labels[first]
    order = np.lexsort((rank, labels))
    ends = np.searchsorted(labels[order], labels[order])  # where each one's class begins
    turn = np.arange(len(order)) - ends
    in_turn: npt.NDArray[np.int64] = first[order[np.lexsort((labels[order], turn))]]
    return in_turn


def _originals(pictures: Pictures) -> npt.NDArray[np.int64]:
    """Return the place of each content, of copies the one that is first by class and name."""
    (numbers,) = number_hashes(pictures.hashes)
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    first = order[starts]
    ends = np.append(starts[1:], len(order))
    for at in np.flatnonzero(ends - starts > 1).tolist():
        first[at] = min(
            order[starts[at] : ends[at]].tolist(),
            key=lambda place: (pictures[place].label, pictures[place].name),
        )
    return first


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
    listed = find_pictures(record.pictures, root)
    known = {(p.name, p.label, p.sha256): p for p in _of_content(pictures_of(training), listed)}
    pictures = tuple(known.get((found.name, found.label, found.sha256), found) for found in listed)
    return CalibrationSet(pictures, record.labels, record.requested, record.seed, record.source)


def _of_content(pictures: Pictures, listed: Pictures) -> Pictures:
    """Return the pictures that have the content of a listed one."""
    numbers, wanted = number_hashes(pictures.hashes, listed.hashes)
    return pictures[np.isin(numbers, wanted)]
