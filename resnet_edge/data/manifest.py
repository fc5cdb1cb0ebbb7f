"""``dataset.json``: the pictures of training, validation and test, by place and hash.

Every later step takes its pictures from here, so that no step can see another split.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnet_edge.data.dataset import Dataset
from resnet_edge.data.picture_list import ListedPicture, find_pictures, list_pictures
from resnet_edge.data.split import Split
from resnet_edge.errors import DataError
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.json_records import read_record, write_record
from resnet_edge.ondevice.reading import refusing

MANIFEST_VERSION = 1


@dataclass(frozen=True)
class Manifest:
    """The content of ``dataset.json``."""

    root: Path
    """Folder of training and validation pictures, absolute."""
    test_root: Path
    """Folder of the test pictures: the same unless the test set was given apart."""
    labels: tuple[str, ...]
    split: Split
    size: tuple[int, int]
    """Height and width that the model sees, in pixels."""
    fit: Fit
    skipped: tuple[str, ...]
    """Unreadable pictures that were left out, as ``name: reason``."""
    split_reason: str
    """What decided where each picture goes; empty in files of older versions."""
    advice: tuple[str, ...]
    """Contradictions, copies and small classes, in sentences."""


@dataclass(frozen=True)
class _ManifestFile:
    root: Path
    test_root: Path
    labels: tuple[str, ...]
    size: tuple[int, int]
    fit: Fit
    skipped: tuple[str, ...]
    train: tuple[ListedPicture, ...]
    validation: tuple[ListedPicture, ...]
    test: tuple[ListedPicture, ...]
    dropped: tuple[ListedPicture, ...]
    size_reason: str = ""
    split_reason: str = ""
    advice: tuple[str, ...] = ()
    schema: int = MANIFEST_VERSION


def write_manifest(
    path: Path,
    dataset: Dataset,
    split: Split,
    size: tuple[int, int],
    fit: Fit,
    *,
    test: Dataset | None = None,
    size_reason: str = "",
    split_reason: str = "",
    advice: tuple[str, ...] = (),
) -> None:
    """Write ``dataset.json``.

    Args:
        path: The file.
        dataset: The data set that was split.
        split: The result.
        size: Height and width in pixels.
        fit: Way to bring pictures to that size.
        test: The separate test set that ``split`` was made with.
        size_reason: The reason for this size, in words.
        split_reason: What decided where each picture goes, in words.
        advice: What a person should know of the pictures, in sentences.

    Raises:
        OutputError: It cannot be written.
    """
    record = _ManifestFile(
        root=dataset.root.absolute(),
        test_root=(test or dataset).root.absolute(),
        labels=dataset.labels,
        size=size,
        fit=fit,
        skipped=dataset.skipped + (test.skipped if test is not None else ()),
        train=list_pictures(split.train),
        validation=list_pictures(split.validation),
        test=list_pictures(split.test),
        dropped=list_pictures(split.dropped),
        size_reason=size_reason,
        split_reason=split_reason,
        advice=advice,
    )
    write_record(path, record)


def read_manifest(path: Path) -> Manifest:
    """Read ``dataset.json`` and check that every picture is still there.

    Decoding checks that a picture is still the same.

    Raises:
        DataError: The file is missing, damaged or of another version, or pictures are gone.
    """
    record = read_record(_ManifestFile, path, DataError)
    split = Split(
        find_pictures(record.train, record.root),
        find_pictures(record.validation, record.root),
        find_pictures(record.test, record.test_root),
        find_pictures(record.dropped, record.root),
    )
    used = split.train + split.validation + split.test
    if not all(0 <= picture.label < len(record.labels) for picture in used):
        raise DataError(f"{path}: a label without a name; the file is damaged, run finetune again")
    with refusing(lambda reason: DataError(f"{path}: damaged ({reason}); run finetune again")):
        gone = [picture.path for picture in used if not picture.path.is_file()]
    if gone:
        raise DataError(
            f"{path}: {len(gone)} of its {len(used)} pictures are gone, the first is {gone[0]}; "
            "put them back, or run finetune again"
        )
    return Manifest(
        root=record.root,
        test_root=record.test_root,
        labels=record.labels,
        split=split,
        size=record.size,
        fit=record.fit,
        skipped=record.skipped,
        split_reason=record.split_reason,
        advice=record.advice,
    )
