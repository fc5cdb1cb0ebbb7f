"""Pictures in a folder per class, or in a zip of that: found, checked and hashed."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import PIL

from resnet_edge.data.archive import unpack_zip
from resnet_edge.errors import DataError, PictureError, UsageError
from resnet_edge.ondevice.files import write_bytes
from resnet_edge.ondevice.pictures import check_bytes, read_picture

OnPicture = Callable[[int, int], None]
"""Called with the number of pictures done and the number of all."""

WORKERS = min(4, os.cpu_count() or 1)
"""Threads that decode: each may hold a picture of ``resnet_edge.ondevice.pictures.MAX_PIXELS``."""

_LISTED = 20
_PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"})
_JUNK = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
_SPLIT_NAMES = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})


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
    """The pictures of a folder per class."""

    root: Path
    labels: tuple[str, ...]
    pictures: tuple[Picture, ...]
    """By label, then by name in natural order."""
    skipped: tuple[str, ...]
    """Unreadable pictures that were left out with --skip-unreadable, as ``name: reason``."""


@dataclass(frozen=True)
class _Candidate:
    path: Path
    name: str
    label: int


@dataclass(frozen=True)
class _Checked:
    sha256: str
    problem: str | None
    """The defect, as ``name: reason``; None for a sound picture."""


def load_dataset(
    source: Path,
    unpack_to: Path,
    *,
    labels: tuple[str, ...] | None = None,
    skip_unreadable: bool = False,
    progress: OnPicture | None = None,
) -> Dataset:
    """Find, check and hash the pictures of a folder per class, or of a zip of that.

    Every picture is decoded once, so that a truncated one is found here and not in an epoch's
    middle. The hashes of pictures that decode are kept in ``unpack_to``: later runs only hash.
    Hidden files, ``Thumbs.db``, ``desktop.ini`` and ``__MACOSX`` are passed over, as are files
    beside the class folders that are not named like pictures; anything else must be a picture.

    Args:
        source: Folder or zip file; the zip may have one folder around the classes.
        unpack_to: Cache folder: a zip is unpacked in it, and the memory of checks lies there.
        labels: Labels of a model that exists; the folders must be among them. None takes the
            folders' names in natural order (2 before 10).
        skip_unreadable: Leave out what cannot be decoded, and list it in ``skipped``.
        progress: Called after each picture with done and total.

    Returns:
        All pictures that decode, by label and name.

    Raises:
        UsageError: ``source`` does not exist.
        DataError: The folder is not of this form, its classes are not the model's, or pictures
            cannot be decoded (each is listed).
        OutputError: ``unpack_to`` cannot be written.
    """
    root = _find_root(source, unpack_to)
    folders = _class_folders(root, source, labels)
    names = labels if labels is not None else tuple(folder.name for folder in folders)
    candidates, problems = _list_candidates(root, folders, names)
    pictures: list[Picture] = []
    for candidate, checked in _check_all(candidates, unpack_to, progress):
        if checked.problem is not None:
            problems.append(checked.problem)
        else:
            at = candidate.path, candidate.name, candidate.label
            pictures.append(Picture(*at, checked.sha256))
    if problems and not skip_unreadable:
        raise DataError(_list_problems(source, problems, len(pictures)))
    if not pictures:
        raise DataError(f"{source}: no pictures in its class folders; expected some in each")
    return Dataset(root, names, tuple(pictures), tuple(problems))


def load_unlabelled(
    folder: Path, memory: Path, *, labels: tuple[str, ...], progress: OnPicture | None = None
) -> tuple[Picture, ...]:
    """Find, check and hash all pictures below a folder, for calibration, which needs no classes.

    Args:
        folder: Pictures, directly or in folders. A folder named like a class gives its pictures
            that class, so that they can be balanced; all others get class 0.
        memory: Cache folder for the memory of checks.
        labels: The model's classes.
        progress: Called after each picture with done and total.

    Raises:
        DataError: A picture cannot be decoded (each is listed), or there is none.
    """
    candidates = []
    for path, linked in sorted(_walk(folder)):
        parts = path.relative_to(folder).parts
        label = labels.index(parts[0]) if len(parts) > 1 and parts[0] in labels else 0
        if not linked:
            candidates.append(_Candidate(path, Path(*parts).as_posix(), label))
    checks = _check_all(candidates, memory, progress)
    if problems := [checked.problem for _, checked in checks if checked.problem is not None]:
        raise DataError(_list_problems(folder, problems, len(checks) - len(problems)))
    if not checks:
        raise DataError(f"{folder}: no pictures below it; expected some to measure ranges on")
    return tuple(Picture(c.path, c.name, c.label, checked.sha256) for c, checked in checks)


def natural_key(name: str) -> tuple[list[tuple[bool, int, str]], str]:
    """Return a sort key that puts 2 before 10, numbers before words, and ignores case."""
    parts = re.findall(r"([0-9]+)|([^0-9]+)", name.casefold())
    return [(not digits, int(digits or 0), word) for digits, word in parts], name


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


def _find_root(source: Path, unpack_to: Path) -> Path:
    if source.is_dir():
        return source.absolute()
    if not source.exists():
        raise UsageError(
            f"{source}: no such folder or zip file; expected a folder per class; check --data"
        )
    root = unpack_zip(source.absolute(), unpack_to.absolute())
    outer = [p for p in root.iterdir() if not _is_junk(p.name)]
    if len(outer) == 1 and outer[0].is_dir() and any(_subfolders(outer[0])):
        return outer[0]
    return root


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _JUNK


def _subfolders(folder: Path) -> list[Path]:
    found = [p for p in folder.iterdir() if p.is_dir() and not _is_junk(p.name)]
    return sorted(found, key=lambda p: natural_key(p.name))


def _class_folders(root: Path, source: Path, labels: tuple[str, ...] | None) -> list[Path]:
    try:
        folders = _subfolders(root)
    except OSError as problem:
        raise DataError(
            f"{source}: cannot be read ({problem.strerror}); check its permissions"
        ) from problem
    names = [folder.name for folder in folders]
    if not folders:
        raise DataError(
            f"{source}: no folders in it; expected a folder per class with its pictures, "
            "for instance cat/1.jpg and dog/1.jpg"
        )
    if bad := [name for name in names if not _is_utf8(name)]:
        raise DataError(f"{source}: folder {bad[0]!r} is not named in UTF-8; rename it")
    if labels is not None and (unknown := [name for name in names if name not in labels]):
        raise DataError(
            f"{source}: folders {', '.join(unknown)} are no classes of the model; "
            f"expected {', '.join(labels)}; rename or remove them"
        )
    if labels is None and _SPLIT_NAMES.issuperset(name.casefold() for name in names):
        raise DataError(
            f"{source}: folders {', '.join(names)} look like a split, not like classes; expected a "
            f"folder per class; pass one as --data and, if you like, another as --test"
        )
    return folders


def _is_utf8(name: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in name)


def _list_candidates(
    root: Path, folders: list[Path], labels: tuple[str, ...]
) -> tuple[list[_Candidate], list[str]]:
    """Return the files that must be pictures, and the problems that names alone show."""
    found: list[_Candidate] = []
    problems = [
        f"{path.name}: a picture outside the class folders; move it into one"
        for path in sorted(root.iterdir())
        if path.suffix.lower() in _PICTURE_SUFFIXES and not _is_junk(path.name) and path.is_file()
    ]
    for folder in folders:
        for path, linked in _walk(folder):
            name = path.relative_to(root).as_posix()
            if linked:
                problems.append(f"{name}: a symbolic link to a folder; expected the folder itself")
            elif not _is_utf8(name):
                shown = name.encode(errors="backslashreplace").decode()
                problems.append(f"{shown}: not named in UTF-8; rename it")
            else:
                found.append(_Candidate(path, name, labels.index(folder.name)))
    return sorted(found, key=lambda c: (c.label, natural_key(c.name))), problems


def _walk(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Yield files with False, and links to folders, which could lead in circles, with True."""

    def stop(problem: OSError) -> None:
        raise DataError(
            f"{problem.filename}: cannot be read ({problem.strerror}); check its permissions"
        ) from problem

    for parent, inner, files in os.walk(folder, onerror=stop):
        inner[:] = [name for name in inner if not _is_junk(name)]
        yield from ((Path(parent, n), True) for n in inner if Path(parent, n).is_symlink())
        yield from ((Path(parent, name), False) for name in files if not _is_junk(name))


def _check_all(
    candidates: list[_Candidate], memory: Path, progress: OnPicture | None
) -> list[tuple[_Candidate, _Checked]]:
    """Read, hash and, where this content was never seen, decode every candidate."""
    remembered = memory / f"decodable-pillow-{PIL.__version__}.txt"
    known = (
        frozenset(remembered.read_text(errors="replace").split())
        if remembered.is_file()
        else frozenset()
    )
    checks: list[tuple[_Candidate, _Checked]] = []
    pool = ThreadPoolExecutor(WORKERS)
    try:
        results = pool.map(lambda candidate: _check(candidate, known), candidates)
        for pair in zip(candidates, results, strict=True):
            checks.append(pair)
            if progress is not None:
                progress(len(checks), len(candidates))
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C must not wait for thousands of pictures
    decodable = known | {checked.sha256 for _, checked in checks if checked.problem is None}
    if decodable != known:
        write_bytes(remembered, "\n".join(sorted(decodable)).encode())
    return checks


def _check(candidate: _Candidate, known: frozenset[str]) -> _Checked:
    try:
        data = read_picture(candidate.path, candidate.name)
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 not in known:
            check_bytes(data, candidate.name)
    except PictureError as problem:
        return _Checked("", problem.reason)
    return _Checked(sha256, None)


def _list_problems(source: Path, problems: list[str], readable: int) -> str:
    shown = "".join(f"\n  {problem}" for problem in problems[:_LISTED])
    more = len(problems) - _LISTED
    return (
        f"{source}: {len(problems)} of {len(problems) + readable} files cannot be used:{shown}"
        + (f"\n  and {more} more" if more > 0 else "")
        + "\nrepair or delete them, or pass --skip-unreadable to go on without them"
    )
