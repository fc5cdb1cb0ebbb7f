"""The pictures of any source, listed: folders, archives and tables, here or in a store."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from resnet_edge.data import stores
from resnet_edge.data.address import Address, Source, is_pattern
from resnet_edge.data.archive import OnEntry, unpack_zip
from resnet_edge.data.layouts import list_any, list_folders
from resnet_edge.data.listing import Listing, candidates_of
from resnet_edge.data.names import natural_key
from resnet_edge.data.origins import InArchive, InStore, OnDisk, Origin
from resnet_edge.data.sources.archives import (
    Archive,
    ArchiveKind,
    Archives,
    Contents,
    compressed,
    gather,
    is_compressed,
    kind_of,
    list_archives,
    unique,
)
from resnet_edge.data.sources.class_names import find_class_names
from resnet_edge.data.sources.name_tree import tree_of
from resnet_edge.data.sources.parquet_files import read_rows
from resnet_edge.data.sources.patterns import expand
from resnet_edge.data.sources.tar_files import TarMembers, read_members, webdataset_entries
from resnet_edge.data.sources.tfrecord_files import read_tfrecord
from resnet_edge.data.table import TABLE_SUFFIXES, list_table
from resnet_edge.data.tree import Folder, read_tree
from resnet_edge.errors import DataError, UsageError

T = TypeVar("T")

_AT_ONCE = 8
"""Archives that are read at once: their reading waits for a disk or a store."""

_TAR_AT, _SNIFFED = 257, 262


@dataclass(frozen=True)
class _Form:
    """What is asked of a source, and the lists of what it turns out to be."""

    source: Source
    known: tuple[str, ...] | None
    classes: bool

    def of_tree(
        self, tree: Folder, origin: Origin, root: Source, files: Sequence[Archive]
    ) -> Listing:
        """List a folder: the archives in it, or its folders of pictures.

        Pictures in one folder beside archives are those that describe a data set.
        """
        holding = sum(bool(folder.pictures) for folder in tree.walk())
        if holding > 1 or (tree.has_pictures and not self.classes):
            return self.of_folders(tree, origin)
        if tree.has_pictures and not any(kind_of(file.name) for file in files):
            return self.of_folders(tree, origin)
        archives = gather(root, files, self.source)
        if archives is None:
            return self.of_folders(tree, origin)
        if holding:
            note = "pictures beside the archives are not used"
            archives = replace(archives, notes=(*archives.notes, note))
        return self.of_archives(archives)

    def of_folders(self, tree: Folder, origin: Origin) -> Listing:
        """List folders of pictures."""
        if self.classes:
            return list_folders(tree, self.source, self.known, origin)
        return list_any(tree, self.source, self.known or (), origin)

    def of_archives(self, archives: Archives) -> Listing:
        """List archives of one kind."""
        match archives.kind:
            case ArchiveKind.PARQUET:
                parts = _each(read_rows, archives.files)
            case ArchiveKind.TFRECORD:
                parts = _each(read_tfrecord, archives.files)
            case ArchiveKind.TAR:
                members = _each(read_members, archives.files)
                if not any(found.is_webdataset for found in members):
                    return self._of_tar_folders(archives, members)
                parts = [webdataset_entries(found) for found in members]
        return self._with_names(archives, parts)

    def _with_names(self, archives: Archives, parts: Sequence[Contents]) -> Listing:
        first = [entry.label for part in parts for entry in part.entries[:1]]
        numbers = any(isinstance(x, int) or (x is not None and x.isdigit()) for x in first)
        classes: tuple[str, ...] = ()
        words = ""
        if numbers and not any(part.classes for part in parts):
            classes, words = find_class_names(archives)
        noted = replace(archives, notes=(*archives.notes, *((words,) if words else ())))
        return list_archives(noted, parts, self.source, classes, labelled=self.classes)

    def _of_tar_folders(self, archives: Archives, members: Sequence[TarMembers]) -> Listing:
        """List tar files of class folders, each by itself, and put the lists together."""
        listings = []
        for file, found in zip(archives.files, members, strict=True):
            own = self.of_folders(tree_of(found.files), InArchive(file.source, found.files))
            before = f"{file.name}/" if len(archives.files) > 1 else ""
            candidates = candidates_of(
                replace(c, name=before + c.name, side=file.side or c.side) for c in own.candidates
            )
            problems = tuple(before + p for p in (*found.problems, *own.problems))
            listings.append(replace(own, candidates=candidates, problems=problems))
        return Listing(
            root=archives.root,
            labels=tuple(sorted({x for own in listings for x in own.labels}, key=natural_key)),
            candidates=candidates_of(c for own in listings for c in own.candidates),
            problems=tuple(p for own in listings for p in own.problems),
            notes=tuple(unique([*archives.notes, *(n for own in listings for n in own.notes)])),
        )


def list_source(
    source: Source,
    cache: Path,
    *,
    known: tuple[str, ...] | None,
    exclude: Path | None = None,
    unpacking: OnEntry | None = None,
    classes: bool = True,
) -> Listing:
    """List the pictures of a source, without opening one.

    Args:
        source: A folder of pictures or of archives, an archive, a pattern of archives, a zip file
            of folders, or a CSV file (``resnet_edge.data.table``); here or in a store.
        cache: Cache folder, in which a zip is unpacked.
        known: Labels of a model that exists; a folder named like one is a class.
        exclude: The build folder of this run, which may lie among the photos.
        unpacking: Called after each entry of a zip with done and total.
        classes: False to take pictures from whatever folders they lie in.

    Raises:
        UsageError: ``source`` does not exist.
        DataError: The source is not of a form that is known, or cannot be read.
        OutputError: ``cache`` cannot be written.
        RuntimeMissingError: A package for this kind of source is not installed.
    """
    form = _Form(source, known, classes)
    if is_pattern(source):
        return form.of_archives(_of_pattern(source))
    if isinstance(source, Address):
        return _list_stored(source, form)
    if not source.exists():
        raise UsageError(
            f"{source}: no such folder or zip file; expected a folder per class; check the path"
        )
    if source.is_dir():
        return _list_folder(source.absolute(), exclude, form)
    if source.suffix.lower() in TABLE_SUFFIXES:
        return list_table(source)
    if (kind := _kind_of_file(source)) is not None:
        return form.of_archives(_single(source.absolute(), kind))
    top = unpack_zip(source.absolute(), cache.absolute(), unpacking)
    return _list_folder(top, None, form)


def _list_folder(top: Path, exclude: Path | None, form: _Form) -> Listing:
    tree = read_tree(top, exclude and exclude.absolute())
    names = [Path(f.path, name) for f in tree.walk() for name in f.files]
    files = [Archive(path, path.relative_to(top).as_posix()) for path in names]
    return form.of_tree(tree, OnDisk(top), top, files)


def _list_stored(source: Address, form: _Form) -> Listing:
    name = source.name.lower()
    if name.endswith(tuple(TABLE_SUFFIXES)):
        return list_table(source)
    found = None
    kind = kind_of(name)
    if kind is not None or "." in name:
        try:
            found = stores.describe(source)
        except FileNotFoundError as problem:
            raise _not_there(source) from problem
    if found is not None:
        if is_compressed(name):
            raise compressed(source, "")
        if kind is None:
            raise DataError(
                f"{source}: a single file; expected a folder, a .csv, .tar, .parquet or .tfrecord; "
                "a zip is unpacked, so copy it to this machine first"
            )
        return form.of_archives(_single(source, kind, found.version))
    try:
        files = {file.name: file for file in stores.list_files(source)}
    except FileNotFoundError as problem:
        raise _not_there(source) from problem
    if not files:
        raise _not_there(source)
    inside = [Archive(source / n, n, file.version) for n, file in files.items()]
    return form.of_tree(tree_of(files), InStore(source, files), source, inside)


def _not_there(source: Address) -> UsageError:
    return UsageError(
        f"{source}: nothing is there; expected a folder per class, or archives; check the address"
    )


def _kind_of_file(path: Path) -> ArchiveKind | None:
    """Return the kind of an archive by its name, or else by its first bytes.

    Raises:
        DataError: It is compressed as a whole, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_SNIFFED)
    except OSError as problem:
        raise DataError(f"{path}: cannot be read ({problem.strerror}); check it") from problem
    if start[_TAR_AT:] == b"ustar":
        return ArchiveKind.TAR
    if start[:4] == b"PAR1":
        return ArchiveKind.PARQUET
    if is_compressed(path.name) or start[:2] == b"\x1f\x8b":
        raise compressed(path, "")
    return kind_of(path.name)


def _single(source: Source, kind: ArchiveKind, version: stores.Stamp | None = None) -> Archives:
    return Archives(source, kind, (Archive(source, source.name, version),))


def _of_pattern(source: Source) -> Archives:
    files = expand(source)
    text = _common_folder([str(file.parent) for file in files])
    root: Source = Address(text) if isinstance(source, Address) else Path(text)
    named = [Archive(file, str(file).removeprefix(f"{text}/"), _version(file)) for file in files]
    archives = gather(root, named, source)
    if archives is None:
        raise DataError(
            f"{source}: {files[0].name} is no archive; expected .tar, .parquet or .tfrecord files; "
            "pass a folder of pictures without a pattern"
        )
    if len(archives.files) == 1:
        return replace(archives, root=archives.files[0].source)
    return archives


def _common_folder(folders: Sequence[str]) -> str:
    """Return the folder around all; addresses keep their double slash."""
    columns = zip(*(folder.split("/") for folder in folders), strict=False)
    return "/".join(same[0] for same in itertools.takewhile(lambda c: len(set(c)) == 1, columns))


def _version(source: Source) -> stores.Stamp | None:
    if not isinstance(source, Address):
        return None
    found = stores.describe(source)
    return None if found is None else found.version


def _each(read: Callable[[Archive], T], files: Sequence[Archive]) -> list[T]:
    """Read archives, several at once, in their order."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            return list(pool.map(read, files))
        finally:
            pool.shutdown(cancel_futures=True)  # after an error the others need not be read
