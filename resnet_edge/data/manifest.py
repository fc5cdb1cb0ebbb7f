"""``dataset.json``: the pictures of training, validation and test, by place and hash.

Every later step takes its pictures from here, so that no step can see another split.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.data import stores
from resnet_edge.data.address import Source, parse_source, source_text
from resnet_edge.data.dataset import Dataset, Picture
from resnet_edge.data.picture_list import (
    ListedPicture,
    find_pictures,
    list_pictures,
    list_places,
)
from resnet_edge.data.places import FilePlace, ObjectPlace, place_words
from resnet_edge.data.split import Split
from resnet_edge.data.workers import STORE_WORKERS
from resnet_edge.errors import DataError
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.json_records import read_record, write_record
from resnet_edge.ondevice.reading import refusing

MANIFEST_VERSION = 1


@dataclass(frozen=True)
class Manifest:
    """The content of ``dataset.json``."""

    root: Source
    """Folder or archive of training and validation pictures, absolute."""
    test_root: Source
    """Those of the test pictures: the same unless the test set was given apart."""
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
    root: str
    test_root: str
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
    places: tuple[str, ...] = ()
    """Text of each picture's place: train, validation, test, dropped, one after another. Empty
    where all are the files of their names, as in earlier versions."""
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
    root, test_root = dataset.root, (test or dataset).root
    places = (
        *list_places((*split.train, *split.validation), root),
        *list_places(split.test, test_root),
        *list_places(split.dropped, root),
    )
    record = _ManifestFile(
        root=source_text(root),
        test_root=source_text(test_root),
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
        places=places if any(places) else (),
    )
    write_record(path, record)


def read_manifest(path: Path) -> Manifest:
    """Read ``dataset.json`` and check that every picture is still there.

    Decoding checks that a picture is still the same.

    Raises:
        DataError: The file is missing, damaged or of another version, or pictures are gone.
    """
    record = read_record(_ManifestFile, path, DataError)
    with refusing(lambda reason: _damaged(path, reason)):
        root, test_root = parse_source(record.root), parse_source(record.test_root)
        split = _find_split(record, root, test_root)
        used = split.train + split.validation + split.test
        if not all(0 <= picture.label < len(record.labels) for picture in used):
            raise _damaged(path, "a label without a name")
        gone = _gone(used)
    if gone:
        raise DataError(
            f"{path}: {len(gone)} of its {len(used)} pictures are gone, the first is {gone[0]}; "
            "put them back, or run finetune again"
        )
    return Manifest(
        root=root,
        test_root=test_root,
        labels=record.labels,
        split=split,
        size=record.size,
        fit=record.fit,
        skipped=record.skipped,
        split_reason=record.split_reason,
        advice=record.advice,
    )


def _damaged(path: Path, reason: str) -> DataError:
    return DataError(f"{path}: damaged ({reason}); run finetune again")


def _find_split(record: _ManifestFile, root: Source, test_root: Source) -> Split:
    lists = (record.train, record.validation, record.test, record.dropped)
    counts = [len(listed) for listed in lists]
    if record.places and len(record.places) != sum(counts):
        raise ValueError(f"{len(record.places)} places of {sum(counts)} pictures")
    ends = list(itertools.accumulate(counts))
    places = [record.places[end - count : end] for end, count in zip(ends, counts, strict=True)]
    roots = (root, root, test_root, root)
    return Split(*map(find_pictures, lists, roots, places))


def _gone(pictures: Sequence[Picture]) -> list[str]:
    """Name the pictures whose file is gone; of those in an archive, all if that is gone.

    A store is asked for each archive, and for one object of those that lie in no archive.
    """
    archives = tuple({p.place.archive for p in pictures if p.place.archive is not None})
    with ThreadPoolExecutor(STORE_WORKERS) as pool:
        there = tuple(pool.map(stores.exists, archives))
    lost = {archive for archive, found in zip(archives, there, strict=True) if not found}
    stored = next((p.place for p in pictures if isinstance(p.place, ObjectPlace)), None)
    away = stored is not None and not stores.exists(stored.address)
    return [
        place_words(p.place, p.name)
        for p in pictures
        if (isinstance(p.place, FilePlace) and not p.place.path.is_file())
        or (isinstance(p.place, ObjectPlace) and away)
        or p.place.archive in lost
    ]
