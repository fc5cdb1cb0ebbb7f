"""``dataset.json``: which pictures a model was trained, validated and tested on, by place and hash.

Every later step takes its pictures from here, so that no step can see another split.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnet_edge.data.dataset import Dataset, Picture
from resnet_edge.data.split import Split
from resnet_edge.errors import DataError
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.json_records import read_record, write_record

MANIFEST_VERSION = 1


@dataclass(frozen=True)
class Manifest:
    """What ``dataset.json`` says."""

    root: Path
    """Where training and validation pictures lie, absolute."""
    test_root: Path
    """Where test pictures lie: the same folder unless the test set was given apart."""
    labels: tuple[str, ...]
    split: Split
    size: tuple[int, int]
    """Height and width that the model sees, in pixels."""
    fit: Fit
    skipped: tuple[str, ...]
    """What was left out as unreadable, as ``name: reason``."""


@dataclass(frozen=True)
class _Entry:
    name: str
    label: int
    sha256: str


@dataclass(frozen=True)
class _ManifestFile:
    root: Path
    test_root: Path
    labels: tuple[str, ...]
    size: tuple[int, int]
    fit: Fit
    skipped: tuple[str, ...]
    train: tuple[_Entry, ...]
    validation: tuple[_Entry, ...]
    test: tuple[_Entry, ...]
    dropped: tuple[_Entry, ...]
    schema: int = MANIFEST_VERSION


def write_manifest(
    path: Path,
    dataset: Dataset,
    split: Split,
    size: tuple[int, int],
    fit: Fit,
    *,
    test: Dataset | None = None,
) -> None:
    """Write ``dataset.json``.

    Args:
        path: The file.
        dataset: What was split.
        split: The result.
        size: Height and width in pixels.
        fit: How pictures are brought to that size.
        test: The separate test set that ``split`` was made with.

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
        train=_entries(split.train),
        validation=_entries(split.validation),
        test=_entries(split.test),
        dropped=_entries(split.dropped),
    )
    write_record(path, record)


def read_manifest(path: Path) -> Manifest:
    """Read ``dataset.json`` and check that every picture is still there.

    Whether a picture is still the same is checked when it is decoded.

    Raises:
        DataError: The file is missing, damaged or of another version, or pictures are gone.
    """
    record = read_record(_ManifestFile, path, DataError)
    split = Split(
        _pictures(record.train, record.root),
        _pictures(record.validation, record.root),
        _pictures(record.test, record.test_root),
        _pictures(record.dropped, record.root),
    )
    used = split.train + split.validation + split.test
    if not all(0 <= picture.label < len(record.labels) for picture in used):
        raise DataError(f"{path}: a label without a name; the file is damaged, run finetune again")
    if gone := [picture.path for picture in used if not picture.path.is_file()]:
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
    )


def _entries(pictures: tuple[Picture, ...]) -> tuple[_Entry, ...]:
    return tuple(_Entry(p.name, p.label, p.sha256) for p in pictures)


def _pictures(entries: tuple[_Entry, ...], root: Path) -> tuple[Picture, ...]:
    return tuple(Picture(root / e.name, e.name, e.label, e.sha256) for e in entries)
