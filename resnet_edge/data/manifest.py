"""``dataset.json``: the pictures of training, validation and test, by place and hash.

Every later step takes its pictures from here, so that no step can see another split.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resnet_edge.data import stores
from resnet_edge.data.address import Address, Source, parse_source, source_text
from resnet_edge.data.dataset import Dataset
from resnet_edge.data.picture_list import (
    ListedPicture,
    find_pictures,
    list_pictures,
    list_places,
)
from resnet_edge.data.picture_table import RootedPictures, read_pictures, write_pictures
from resnet_edge.data.pictures import Pictures
from resnet_edge.data.place_columns import PlaceKind
from resnet_edge.data.places import place_words
from resnet_edge.data.split import Split
from resnet_edge.data.workers import STORE_WORKERS
from resnet_edge.errors import DataError
from resnet_edge.ondevice.files import hash_path, write_bytes, write_file
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.json_records import from_json, read_json, write_record
from resnet_edge.ondevice.reading import refusing

MANIFEST_VERSION = 1
TABLE_VERSION = 2
"""The version of a ``dataset.json`` whose pictures are in a file beside it."""

MOST_LISTED = 100_000
"""Pictures that ``dataset.json`` lists. More are in ``dataset.parquet`` beside it: a million lines
of JSON are 195 MB and take a minute and 2.5 GB to read."""


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


@dataclass(frozen=True)
class _TableFile:
    """What is left of ``dataset.json`` where the pictures are in ``dataset.parquet``."""

    root: str
    test_root: str
    labels: tuple[str, ...]
    size: tuple[int, int]
    fit: Fit
    skipped: tuple[str, ...]
    train: int
    """Pictures to train: the first rows of the table. Then come those to validate, to test, and
    the dropped ones."""
    validation: int
    test: int
    dropped: int
    pictures_sha256: str
    """Hash of the table."""
    size_reason: str = ""
    split_reason: str = ""
    advice: tuple[str, ...] = ()
    schema: int = TABLE_VERSION


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
    most_listed: int = MOST_LISTED,
) -> None:
    """Write ``dataset.json``, and ``dataset.parquet`` beside it where there are many pictures.

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
        most_listed: Pictures that ``dataset.json`` itself lists.

    Raises:
        OutputError: It cannot be written.
        RuntimeMissingError: pyarrow, which writes many pictures, is not installed.
    """
    manifest = Manifest(
        root=dataset.root,
        test_root=(test or dataset).root,
        labels=dataset.labels,
        split=split,
        size=size,
        fit=fit,
        skipped=dataset.skipped + (test.skipped if test is not None else ()),
        split_reason=split_reason,
        advice=advice,
    )
    table = _table_beside(path)
    if sum(map(len, _lists(split))) > most_listed:
        roots = _roots(manifest.root, manifest.test_root)
        write_pictures(table, list(map(RootedPictures, _lists(split), roots)))
        write_record(path, _with_table(manifest, size_reason, hash_path(table)))
    else:
        write_record(path, _with_lists(manifest, size_reason))
        table.unlink(missing_ok=True)


def copy_manifest(path: Path, to: Path, size: tuple[int, int]) -> None:
    """Write a ``dataset.json`` of the same pictures at another size.

    Args:
        path: The one that there is.
        to: The new one, in another folder.
        size: Height and width in pixels.

    Raises:
        DataError: There is none, or it is damaged.
        OutputError: It cannot be written.
    """
    data = read_json(path, DataError)
    if not isinstance(data, dict):
        raise DataError(f"{path}: not a list of pictures; run finetune or reference again")
    if _table_beside(path).exists():
        with _table_beside(path).open("rb") as table:
            write_file(_table_beside(to), lambda file: shutil.copyfileobj(table, file))
    write_bytes(to, json.dumps({**data, "size": list(size)}, indent=1, ensure_ascii=False).encode())


def read_manifest(path: Path) -> Manifest:
    """Read ``dataset.json`` and check that every picture is still there.

    Decoding checks that a picture is still the same.

    Raises:
        DataError: The file is missing, damaged or of another version, or pictures are gone.
        RuntimeMissingError: pyarrow, which reads many pictures, is not installed.
    """
    data = read_json(path, DataError)
    version = data.get("schema") if isinstance(data, dict) else None
    record: _ManifestFile | _TableFile
    if version in (None, MANIFEST_VERSION):
        record = from_json(_ManifestFile, data, str(path), DataError)
    else:
        record = from_json(_TableFile, data, str(path), DataError)
    with refusing(lambda reason: _damaged(path, reason)):
        root, test_root = parse_source(record.root), parse_source(record.test_root)
        if isinstance(record, _ManifestFile):
            split = _find_split(record, root, test_root)
        else:
            split = _read_split(record, path, root, test_root)
        used = (split.train, split.validation, split.test)
        for pictures in used:
            if ((pictures.labels < 0) | (pictures.labels >= len(record.labels))).any():
                raise _damaged(path, "a label without a name")
        gone = _gone(used)
    if gone:
        raise DataError(
            f"{path}: {len(gone)} of its {sum(map(len, used))} pictures are gone, the first is "
            f"{gone[0]}; put them back, or run finetune again"
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


def _table_beside(path: Path) -> Path:
    return path.with_suffix(".parquet")


def _lists(split: Split) -> tuple[Pictures, Pictures, Pictures, Pictures]:
    return split.train, split.validation, split.test, split.dropped


def _roots(root: Source, test_root: Source) -> tuple[Source, Source, Source, Source]:
    return root, root, test_root, root


def _with_lists(manifest: Manifest, size_reason: str) -> _ManifestFile:
    lists = _lists(manifest.split)
    roots = _roots(manifest.root, manifest.test_root)
    train, validation, test, dropped = map(list_pictures, lists)
    places = tuple(itertools.chain(*map(list_places, lists, roots)))
    return _ManifestFile(
        source_text(manifest.root),
        source_text(manifest.test_root),
        manifest.labels,
        manifest.size,
        manifest.fit,
        manifest.skipped,
        train=train,
        validation=validation,
        test=test,
        dropped=dropped,
        size_reason=size_reason,
        split_reason=manifest.split_reason,
        advice=manifest.advice,
        places=places if any(places) else (),
    )


def _with_table(manifest: Manifest, size_reason: str, sha256: str) -> _TableFile:
    split = manifest.split
    return _TableFile(
        source_text(manifest.root),
        source_text(manifest.test_root),
        manifest.labels,
        manifest.size,
        manifest.fit,
        manifest.skipped,
        train=len(split.train),
        validation=len(split.validation),
        test=len(split.test),
        dropped=len(split.dropped),
        pictures_sha256=sha256,
        size_reason=size_reason,
        split_reason=manifest.split_reason,
        advice=manifest.advice,
    )


def _find_split(record: _ManifestFile, root: Source, test_root: Source) -> Split:
    lists = (record.train, record.validation, record.test, record.dropped)
    counts = [len(listed) for listed in lists]
    if record.places and len(record.places) != sum(counts):
        raise ValueError(f"{len(record.places)} places of {sum(counts)} pictures")
    ends = list(itertools.accumulate(counts))
    places = [record.places[end - count : end] for end, count in zip(ends, counts, strict=True)]
    return Split(*map(find_pictures, lists, _roots(root, test_root), places))


def _read_split(record: _TableFile, path: Path, root: Source, test_root: Source) -> Split:
    table = _table_beside(path)
    if not table.exists():
        raise DataError(
            f"{table}: not there; expected the pictures of {path.name} beside it; copy both files, "
            "or run finetune again"
        )
    if (actual := hash_path(table)) != record.pictures_sha256:
        raise DataError(
            f"{table}: other pictures than those of {path.name} (sha256 is {actual[:16]}…, "
            f"expected {record.pictures_sha256[:16]}…); copy both files, or run "
            "finetune again"
        )
    counts = (record.train, record.validation, record.test, record.dropped)
    return Split(*read_pictures(table, _roots(root, test_root), counts))


def _gone(used: Sequence[Pictures]) -> list[str]:
    """Name the pictures whose file is gone; of those in an archive, all if that is gone.

    A store is asked for each archive, and for one object of those that lie in no archive.
    """
    archives = tuple({archive for pictures in used for archive in pictures.archives()})
    with ThreadPoolExecutor(STORE_WORKERS) as pool:
        there = tuple(pool.map(stores.exists, archives))
    lost = {archive for archive, found in zip(archives, there, strict=True) if not found}
    away = not all(map(stores.exists, itertools.islice(_objects(used), 1)))
    return [
        place_words(picture.place, picture.name)
        for pictures in used
        for picture in pictures[_is_gone(pictures, lost, away)]
    ]


def _objects(used: Sequence[Pictures]) -> Iterator[Address]:
    """Yield the addresses of the pictures that are objects in a store."""
    for pictures in used:
        places = pictures.columns.places
        kinds = np.array([home.kind is PlaceKind.OBJECT for home in places.homes], bool)
        yield from map(Address, pictures[kinds[places.home[pictures.rows]]].place_keys())


def _is_gone(pictures: Pictures, lost: Set[Source], away: bool) -> npt.NDArray[np.bool_]:
    """Return a mask of the pictures whose file is not there, ``(n,)``."""
    places = pictures.columns.places
    kinds = np.array([home.kind is PlaceKind.FILE for home in places.homes], bool)
    of_home = np.array(
        [home.where in lost or (home.kind is PlaceKind.OBJECT and away) for home in places.homes],
        bool,
    )
    home = places.home[pictures.rows]
    gone = of_home[home]
    files = np.flatnonzero(kinds[home])
    there = map(_is_file, pictures[files].place_keys())
    gone[files] = ~np.fromiter(there, bool, len(files))
    return gone


def _is_file(path: str) -> bool:
    # The first is fast; the second raises what is no answer, such as a name that is too long.
    return os.path.isfile(path) or Path(path).is_file()  # noqa: PTH113
