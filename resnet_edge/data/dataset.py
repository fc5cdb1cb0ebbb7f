"""Pictures in folders, in a table, or in a zip of folders: found, checked and hashed."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.data.archive import OnEntry, unpack_zip
from resnet_edge.data.checking import OnPicture, check_all
from resnet_edge.data.layouts import list_any, list_folders
from resnet_edge.data.listing import Listing, take_sides
from resnet_edge.data.names import label_of, natural_key
from resnet_edge.data.sides import Side
from resnet_edge.data.table import is_table, list_table
from resnet_edge.data.tree import Folder, read_tree
from resnet_edge.errors import DataError, UsageError
from resnet_edge.ondevice.pictures import read_picture

_LISTED = 20


@dataclass(frozen=True)
class Picture:
    """One picture file that was found to be whole."""

    path: Path
    """Absolute path."""
    name: str
    """Path relative to the data's root with forward slashes, for instance ``cat/1.jpg``."""
    label: int
    """Index into the labels."""
    sha256: str
    """Hash of the file's bytes, hexadecimal."""


@dataclass(frozen=True)
class Dataset:
    """Pictures with their classes."""

    root: Path
    labels: tuple[str, ...]
    pictures: tuple[Picture, ...]
    """By label, then by name in natural order."""
    skipped: tuple[str, ...]
    """Unreadable pictures that were left out with --skip-unreadable, as ``name: reason``."""
    sides: tuple[Side, ...] = ()
    """Each picture's side, where folders or a table say it; else empty."""
    looks: tuple[str, ...] = ()
    """Each picture's perceptual hash, hexadecimal; empty for a picture of one colour."""
    notes: tuple[str, ...] = ()
    """What was recognised and what was passed over, in sentences."""


def load_dataset(
    source: Path,
    unpack_to: Path,
    *,
    labels: tuple[str, ...] | None = None,
    skip_unreadable: bool = False,
    progress: OnPicture | None = None,
    unpacking: OnEntry | None = None,
    exclude: Path | None = None,
    take: tuple[Side, ...] = (),
) -> Dataset:
    """Find, check and hash the pictures of a folder, a zip of that, or a table.

    Every picture is decoded once, so that a truncated one is found here and not in an epoch's
    middle. What was found is kept in ``unpack_to``: later runs read only what was changed.
    Litter (``resnet_edge.data.litter``) is passed over, as are files beside the class folders that
    are not named like pictures; anything else must be a picture.

    Args:
        source: Folder (``resnet_edge.data.layouts``), zip file of one, or CSV file
            (``resnet_edge.data.table``).
        unpack_to: Cache folder: a zip is unpacked in it, and the memory of checks lies there.
        labels: Labels of a model that exists; the folders must be among them. None takes the
            folders' names in natural order (2 before 10).
        skip_unreadable: Leave out what cannot be decoded, and list it in ``skipped``.
        progress: Called after each picture with done and total.
        unpacking: Called after each entry of a zip with done and total.
        exclude: The build folder of this run, which may lie among the photos.
        take: Of a split, take the first of these sides that has pictures; none takes all sides.

    Returns:
        All pictures that decode, by label and name.

    Raises:
        UsageError: ``source`` does not exist.
        DataError: The folder is not of this form, its classes are not the model's, or pictures
            cannot be decoded (each is listed).
        OutputError: ``unpack_to`` cannot be written.
    """
    known = None if labels is None else tuple(map(label_of, labels))
    if is_table(source):
        listing = list_table(source)
    else:
        listing = list_folders(_open(source, unpack_to, exclude, unpacking), source, known)
    listing = take_sides(listing, take, source)
    names = _labels(listing, source) if known is None else known
    _check_known(listing, names, source)
    dataset = _load(listing, names, source, unpack_to, skip_unreadable, progress)
    if not dataset.pictures:
        raise DataError(f"{source}: no pictures in its class folders; expected some in each")
    return dataset


def find_labels(source: Path, unpack_to: Path, exclude: Path) -> tuple[str, ...]:
    """Return the names of the classes that a folder, a zip or a table has pictures of.

    Nothing is opened but the archive.

    Args:
        source: As in ``load_dataset``.
        unpack_to: Cache folder in which a zip is unpacked.
        exclude: The build folder of this run.

    Returns:
        In natural order; nothing where there are no class folders.
    """
    try:
        if is_table(source):
            return list_table(source).labels
        return list_folders(_open(source, unpack_to, exclude), source, None).labels
    except DataError:  # it is said where the pictures are read
        return ()


def load_unlabelled(
    source: Path,
    memory: Path,
    *,
    labels: tuple[str, ...],
    skip_unreadable: bool = False,
    progress: OnPicture | None = None,
    exclude: Path | None = None,
) -> Dataset:
    """Find, check and hash all pictures below a folder, for calibration, which needs no classes.

    Args:
        source: Pictures, directly or in folders; a zip of that, or a table. Of a split, the
            training side is taken. A folder named like a class gives its pictures that class, so
            that they can be balanced; all others get class 0.
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
    if is_table(source):
        listing = list_table(source)
    else:
        listing = list_any(_open(source, memory, exclude), source, known)
    listing = take_sides(listing, (Side.TRAIN, Side.VALIDATION, Side.TEST), source)
    dataset = _load(listing, known, source, memory, skip_unreadable, progress)
    if not dataset.pictures:
        raise DataError(f"{source}: no pictures below it; expected some to measure ranges on")
    return dataset


def read_verified(picture: Picture) -> bytes:
    """Read a picture's file and check that it is still the one that was hashed.

    Raises:
        DataError: It was changed since, or is gone.
    """
    if not picture.path.is_file():
        raise DataError(
            f"{picture.path}: gone since the data were split; put it back, or run finetune again"
        )
    data = read_picture(picture.path, picture.name)
    if (actual := hashlib.sha256(data).hexdigest()) != picture.sha256:
        raise DataError(
            f"{picture.path}: changed since the data were split (sha256 is {actual[:16]}…, "
            f"expected {picture.sha256[:16]}…); put the old file back, or run finetune again"
        )
    return data


def _open(
    source: Path, unpack_to: Path, exclude: Path | None, unpacking: OnEntry | None = None
) -> Folder:
    """Read a folder's tree; a zip is unpacked first."""
    if not source.exists():
        raise UsageError(
            f"{source}: no such folder or zip file; expected a folder per class; check the path"
        )
    if source.is_dir():
        return read_tree(source.absolute(), exclude and exclude.absolute())
    return read_tree(unpack_zip(source.absolute(), unpack_to.absolute(), unpacking))


def _labels(listing: Listing, source: Path) -> tuple[str, ...]:
    """The labels of the training side, or of all pictures where there are no sides."""
    trained = {c.label for c in listing.candidates if c.side is Side.TRAIN}
    if not trained:
        return listing.labels
    others = {c.label for c in listing.candidates} - trained
    if others:
        raise DataError(
            f"{source}: {', '.join(sorted(others, key=natural_key))} are classes of other sides, "
            f"not of train; expected {', '.join(sorted(trained, key=natural_key))}; rename or "
            "remove them"
        )
    return listing.labels


def _check_known(listing: Listing, names: tuple[str, ...], source: Path) -> None:
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
    names: tuple[str, ...],
    source: Path,
    memory: Path,
    skip_unreadable: bool,
    progress: OnPicture | None,
) -> Dataset:
    index = {name: number for number, name in enumerate(names)}
    candidates = tuple(
        sorted(
            listing.candidates, key=lambda c: (index.get(c.label, 0), natural_key(c.name), c.label)
        )
    )
    pictures: list[Picture] = []
    sides: list[Side] = []
    looks: list[str] = []
    problems = list(listing.problems)
    for candidate, checked in zip(candidates, check_all(candidates, memory, progress), strict=True):
        if checked.file is None:
            problems.append(checked.problem)
            continue
        label, sha256 = index.get(candidate.label, 0), checked.file.sha256
        pictures.append(Picture(candidate.path, candidate.name, label, sha256))
        looks.append(checked.file.look)
        if candidate.side is not None:
            sides.append(candidate.side)
    if problems and not skip_unreadable:
        raise DataError(_list_problems(source, problems, len(pictures)))
    return Dataset(
        root=listing.root,
        labels=names,
        pictures=tuple(pictures),
        skipped=tuple(problems),
        sides=tuple(sides),
        looks=tuple(looks),
        notes=listing.notes,
    )


def _list_problems(source: Path, problems: list[str], readable: int) -> str:
    shown = "".join(f"\n  {problem}" for problem in problems[:_LISTED])
    more = len(problems) - _LISTED
    missing = "install what is missing, " if any("`pip install" in p for p in problems) else ""
    return (
        f"{source}: {len(problems)} of {len(problems) + readable} files cannot be used:{shown}"
        + (f"\n  and {more} more" if more > 0 else "")
        + f"\n{missing}repair or delete them, or pass --skip-unreadable to go on without them"
    )
