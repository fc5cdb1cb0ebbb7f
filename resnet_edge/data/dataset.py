"""Pictures of any source: found, checked and hashed."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resnet_edge.data.address import Source
from resnet_edge.data.archive import OnEntry
from resnet_edge.data.checking import Checks, check_all
from resnet_edge.data.listing import Candidates, Listing, take_sides
from resnet_edge.data.names import label_of, natural_key
from resnet_edge.data.pictures import HASH_BYTES, Picture, PictureColumns, Pictures
from resnet_edge.data.places import FilePlace, place_words, read_place
from resnet_edge.data.sides import Side
from resnet_edge.data.sources.listing_of import list_source
from resnet_edge.data.texts import Texts
from resnet_edge.data.views import all_rows
from resnet_edge.errors import DataError, PictureError
from resnet_edge.scale.running import HERE, Computing, Count

_LISTED = 20


@dataclass(frozen=True)
class Dataset:
    """Pictures with their classes."""

    root: Source
    """The folder, or the archive, that names are relative to."""
    labels: tuple[str, ...]
    pictures: Pictures
    """By label, then by name in natural order; of archives in the order that they lie in, so that
    every step reads those from their start to their end."""
    skipped: tuple[str, ...]
    """Unreadable pictures that were left out with --skip-unreadable, as ``name: reason``."""
    sides: tuple[Side, ...] = ()
    """Each picture's side, where folders or a table say it; else empty."""
    looks: Sequence[str] = ()
    """Each picture's perceptual hash, hexadecimal; empty for a picture of one colour."""
    notes: tuple[str, ...] = ()
    """What was recognised and what was passed over, in sentences."""


def load_dataset(
    source: Source,
    unpack_to: Path,
    *,
    labels: tuple[str, ...] | None = None,
    skip_unreadable: bool = False,
    progress: Count | None = None,
    unpacking: OnEntry | None = None,
    exclude: Path | None = None,
    take: tuple[Side, ...] = (),
    computing: Computing = HERE,
) -> Dataset:
    """Find, check and hash the pictures of any source.

    Every picture is decoded once, so that a truncated one is found here and not in an epoch's
    middle. What was found is kept in ``unpack_to``: later runs read only what was changed.
    Litter (``resnet_edge.data.litter``) is passed over, as are files beside the class folders that
    are not named like pictures; anything else must be a picture.

    Args:
        source: Folder (``resnet_edge.data.layouts``), zip file of one, CSV file
            (``resnet_edge.data.table``), archive or archives (``resnet_edge.data.sources``), here
            or in a store.
        unpack_to: Cache folder: a zip is unpacked in it, and the memory of checks lies there.
        labels: Labels of a model that exists; the folders must be among them. None takes the
            folders' names in natural order (2 before 10).
        skip_unreadable: Leave out what cannot be decoded, and list it in ``skipped``.
        progress: Called after each picture with done and total.
        unpacking: Called after each entry of a zip with done and total.
        exclude: The build folder of this run, which may lie among the photos.
        take: Of a split, take the first of these sides that has pictures; none takes all sides.
        computing: Who checks.

    Returns:
        All pictures that decode.

    Raises:
        UsageError: ``source`` does not exist.
        DataError: The folder is not of this form, its classes are not the model's, or pictures
            cannot be decoded (each is listed).
        OutputError: ``unpack_to`` cannot be written.
    """
    known = None if labels is None else tuple(map(label_of, labels))
    listing = list_source(source, unpack_to, known=known, exclude=exclude, unpacking=unpacking)
    listing = take_sides(listing, take, source)
    names = _labels(listing, source) if known is None else known
    _check_known(listing, names, source)
    checks = check_all(listing.candidates, unpack_to, progress, computing)
    dataset = _load(listing, checks, names, source, skip_unreadable)
    if not dataset.pictures:
        raise DataError(f"{source}: no pictures in its class folders; expected some in each")
    return dataset


def find_labels(source: Source, unpack_to: Path, exclude: Path) -> tuple[str, ...]:
    """Return the names of the classes that a source has pictures of.

    Nothing is opened but the archive.

    Args:
        source: As in ``load_dataset``.
        unpack_to: Cache folder in which a zip is unpacked.
        exclude: The build folder of this run.

    Returns:
        In natural order; nothing where there are no class folders.
    """
    try:
        return list_source(source, unpack_to, known=None, exclude=exclude).labels
    except DataError:  # it is said where the pictures are read
        return ()


def load_unlabelled(
    source: Source,
    memory: Path,
    *,
    labels: tuple[str, ...],
    skip_unreadable: bool = False,
    progress: Count | None = None,
    exclude: Path | None = None,
) -> Dataset:
    """Find, check and hash all pictures of a source, for calibration, which needs no classes.

    Args:
        source: As in ``load_dataset``, or pictures in whatever folders, or without labels. Of a
            split, the training side is taken. A folder named like a class gives its pictures that
            class, so that they can be balanced; all others get class 0.
        memory: Cache folder: a zip is unpacked in it, and the memory of checks lies there.
        labels: The model's classes.
        skip_unreadable: Leave out what cannot be decoded, and list it in ``skipped``.
        progress: Called after each picture with done and total.
        exclude: The build folder of this run, which may lie among the photos.

    Raises:
        UsageError: ``source`` does not exist.
        DataError: A picture cannot be decoded (each is listed), or there is none.
    """
    known = tuple(map(label_of, labels))
    listing = list_source(source, memory, known=known, exclude=exclude, classes=False)
    listing = take_sides(listing, (Side.TRAIN, Side.VALIDATION, Side.TEST), source)
    checks = check_all(listing.candidates, memory, progress)
    dataset = _load(listing, checks, known, source, skip_unreadable)
    if not dataset.pictures:
        raise DataError(f"{source}: no pictures below it; expected some to measure ranges on")
    return dataset


def read_verified(picture: Picture) -> bytes:
    """Read a picture and check that it is still the one that was hashed.

    Raises:
        DataError: It was changed since, or is gone.
    """
    place, words = picture.place, place_words(picture.place, picture.name)
    gone = f"{words}: gone since the data were split; put it back, or run finetune again"
    if isinstance(place, FilePlace) and not place.path.is_file():
        raise DataError(gone)
    try:
        data = read_place(place, picture.name)
    except PictureError as problem:
        if isinstance(problem.__cause__, FileNotFoundError):
            raise DataError(gone) from problem
        raise
    if (actual := hashlib.sha256(data).hexdigest()) != picture.sha256:
        raise DataError(
            f"{words}: changed since the data were split (sha256 is {actual[:16]}…, "
            f"expected {picture.sha256[:16]}…); put the old file back, or run finetune again"
        )
    return data


def _labels(listing: Listing, source: Source) -> tuple[str, ...]:
    """The labels of the training side, or of all pictures where there are no sides."""
    trained = listing.candidates.on(Side.TRAIN).labels()
    if not trained:
        return listing.labels
    others = listing.candidates.labels() - trained
    if others:
        raise DataError(
            f"{source}: {', '.join(sorted(others, key=natural_key))} are classes of other sides, "
            f"not of train; expected {', '.join(sorted(trained, key=natural_key))}; rename or "
            "remove them"
        )
    return listing.labels


def _check_known(listing: Listing, names: tuple[str, ...], source: Source) -> None:
    if unknown := [name for name in listing.labels if name not in names]:
        nameless = all(re.fullmatch(r"class \d+", name) for name in names)
        named = "export it again with its names: `resnet-edge export --labels FILE`"
        advice = named if nameless else "rename or remove them"
        raise DataError(
            f"{source}: folders {', '.join(unknown)} are no classes of the model; "
            f"expected {', '.join(names)}; {advice}"
        )


def _load(
    listing: Listing,
    checks: Checks,
    names: tuple[str, ...],
    source: Source,
    skip_unreadable: bool,
) -> Dataset:
    found, files = listing.candidates, checks.files
    index = {name: number for number, name in enumerate(names)}
    numbers = np.array([index.get(label, 0) for label in found.columns.labels], np.int32)
    labels = numbers[found.columns.label]
    ordered = all_rows(len(found))
    if all(home.kind.is_alone for home in found.columns.places.homes):
        ordered = _natural_order(found, labels[found.rows])
    problems = list(listing.problems)
    problems += [checks.problems[at] for at in ordered.tolist() if at in checks.problems]
    sound = ordered[~np.isin(ordered, list(checks.problems))]
    if problems and not skip_unreadable:
        raise DataError(_list_problems(source, problems, len(sound)))
    hashes = np.zeros((len(found.columns), HASH_BYTES), np.uint8)
    hashes[found.rows] = files.hashes
    columns = PictureColumns(found.columns.names, found.columns.places, labels, hashes)
    sides = found[sound].sides_of_each()
    return Dataset(
        root=listing.root,
        labels=names,
        pictures=Pictures(columns, found.rows[sound]),
        skipped=tuple(problems),
        sides=tuple(side for side in sides if side is not None),
        looks=Texts(files.looks, sound),
        notes=listing.notes,
    )


def _natural_order(found: Candidates, numbers: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Order candidates by the number of their label, then by name in natural order, then by label.

    Their keys are large, so that there are those of one label at a time, and none of what lies in
    order already, as it mostly does.
    """
    order = np.argsort(numbers, kind="stable")
    ends = np.flatnonzero(np.diff(numbers[order])) + 1
    columns = found.columns

    def key(at: int) -> tuple[tuple[list[tuple[bool, int, str]], str], str]:
        row = int(found.rows[at])
        return natural_key(columns.names.at(row)), columns.labels[columns.label[row]]

    for start, end in itertools.pairwise([0, *ends.tolist(), len(order)]):
        group = order[start:end].tolist()
        if any(one > other for one, other in itertools.pairwise(map(key, group))):
            order[start:end] = sorted(group, key=key)
    return order


def _list_problems(source: Source, problems: list[str], readable: int) -> str:
    shown = "".join(f"\n  {problem}" for problem in problems[:_LISTED])
    more = len(problems) - _LISTED
    missing = "install what is missing, " if any("`pip install" in p for p in problems) else ""
    return (
        f"{source}: {len(problems)} of {len(problems) + readable} files cannot be used:{shown}"
        + (f"\n  and {more} more" if more > 0 else "")
        + f"\n{missing}repair or delete them, or pass --skip-unreadable to go on without them"
    )
