"""A folder with all that is below it, without the litter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from resnet_edge.data.litter import BUILD_FOLDERS, is_build, is_litter_file, is_litter_folder
from resnet_edge.data.names import natural_key, suffix_of
from resnet_edge.errors import DataError
from resnet_edge.ondevice.picture_kinds import PICTURE_SUFFIXES, recognise

_FOLLOWED_DEPTH = 3
"""Links to folders are followed down to the classes of a split (folder, split, class)."""

_SNIFFED = 50
"""Files without a picture's ending that are opened to see if a folder holds pictures."""


@dataclass(frozen=True)
class Folder:
    """A folder below the data's root."""

    path: PurePath
    """Absolute on a disk; in a store or an archive relative to its top."""
    name: str
    folders: tuple[Folder, ...]
    """In natural order of their names."""
    files: tuple[str, ...]
    """In the same order; the pictures and what must not be among them."""
    links: tuple[str, ...]
    """Links to folders that are not followed, because they could lead in circles."""
    hidden: tuple[PurePath, ...]
    """Hidden folders with pictures in them, here and below, that were passed over."""
    has_pictures: bool
    """True if there are pictures in it or below it."""

    @property
    def empty(self) -> bool:
        """True if there is nothing in it."""
        return not (self.folders or self.files or self.links)

    @property
    def pictures(self) -> tuple[str, ...]:
        """Its own files that are named like pictures."""
        return tuple(name for name in self.files if is_named_like_one(name))

    def walk(self) -> Iterator[Folder]:
        """Yield this folder and all below it."""
        pending = [self]
        while pending:
            folder = pending.pop()
            yield folder
            pending.extend(reversed(folder.folders))


@dataclass(frozen=True)
class _Scanned:
    path: Path
    folders: tuple[str, ...]
    files: tuple[str, ...]
    links: tuple[str, ...]
    hidden: tuple[Path, ...]


def is_named_like_one(name: str) -> bool:
    """Return True for a name that ends like a picture's."""
    return suffix_of(name) in PICTURE_SUFFIXES


def _begins_like_one(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return recognise(file.read(64)) is not None
    except OSError:
        return False


def read_tree(root: Path, exclude: Path | None = None) -> Folder:
    """Read a folder with all below it: no litter, and no build folder of resnet-edge.

    Args:
        root: The folder.
        exclude: The build folder of this run. If it is ``root`` itself, only its own folders are
            left out.

    Raises:
        DataError: A folder cannot be read.
    """
    scanned: list[_Scanned] = []
    pending: list[tuple[Path, tuple[Path, ...]]] = [(root, (_real(root),))]
    while pending:
        path, above = pending.pop()
        found = _scan(path, above, exclude)
        scanned.append(found)
        for name in found.folders:
            pending.append((path / name, (*above, _real(path / name))))
    folders: dict[Path, Folder] = {}
    for found in reversed(scanned):  # those below come first
        folders[found.path] = _folder(found, folders)
    return folders[root]


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _scan(path: Path, above: tuple[Path, ...], exclude: Path | None) -> _Scanned:
    try:
        with os.scandir(path) as entries:
            listed = [(e.name, e.is_dir(), e.is_symlink()) for e in entries]
    except OSError as problem:
        raise DataError(
            f"{path}: cannot be read ({problem.strerror}); check its permissions"
        ) from problem
    files = [name for name, folder, _ in listed if not folder]
    beside = {name.casefold() for name in files}
    own = _is_own(path, files, [name for name, folder, _ in listed if folder], exclude)
    folders, links, hidden = [], [], []
    for name, folder, linked in listed:
        if not folder or (own and name in BUILD_FOLDERS):
            continue
        inner = path / name
        if is_litter_folder(name):
            hidden += [inner] if _is_strange(inner) else []
        elif _is_build(inner, exclude):
            continue
        elif linked and (len(above) > _FOLLOWED_DEPTH or _leads_up(inner, above)):
            links.append(name)
        else:
            folders.append(name)
    kept = [name for name in files if not is_litter_file(name, beside, PICTURE_SUFFIXES)]
    return _Scanned(
        path,
        tuple(sorted(folders, key=natural_key)),
        tuple(sorted(kept, key=natural_key)),
        tuple(sorted(links, key=natural_key)),
        tuple(sorted(hidden)),
    )


def _leads_up(link: Path, above: tuple[Path, ...]) -> bool:
    """Return True if a link leads to one of these folders, or to one around it."""
    target = _real(link)
    return any(target == folder or target in folder.parents for folder in above)


def _is_own(path: Path, files: list[str], folders: list[str], exclude: Path | None) -> bool:
    """Return True if pictures lie in a build folder, beside its files."""
    return exclude == path or is_build(files, folders, ())


def _is_build(path: Path, exclude: Path | None) -> bool:
    if exclude is not None and path == exclude:
        return True
    try:
        with os.scandir(path) as entries:
            inner = {entry.name: entry.is_dir() for entry in entries}
        cached = [p.name for p in (path / "cache").iterdir()] if inner.get("cache") else []
    except OSError:  # the walk will say so
        return False
    folders = [name for name, folder in inner.items() if folder]
    return is_build([name for name in inner if name not in folders], folders, cached)


def _is_strange(path: Path) -> bool:
    """Return True for a hidden folder that is none of a known program and holds pictures."""
    if path.name.casefold().startswith(_KNOWN_HIDDEN) or not path.name.startswith("."):
        return False
    try:
        return any(is_named_like_one(inner.name) for inner in path.iterdir())
    except OSError:
        return False


_KNOWN_HIDDEN = (
    *(".ipynb_checkpoints", ".trash", ".thumb", ".git", ".cache", ".venv", ".picasa", ".tox"),
    *(".appledouble", ".bridge", ".tmp", ".spotlight", ".fseventsd", ".documentrevisions", ".dvc"),
    *(".temporaryitems", ".@__thumb", ".sync", ".dropbox", ".stfolder", ".stversions", ".idea"),
    *(".vscode", ".zfs", ".snapshot", ".svn", ".hg"),
)


def _folder(found: _Scanned, folders: dict[Path, Folder]) -> Folder:
    inner = tuple(folders.pop(found.path / name) for name in found.folders)
    return Folder(
        path=found.path,
        name=found.path.name,
        folders=inner,
        files=found.files,
        links=found.links,
        hidden=found.hidden + tuple(path for folder in inner for path in folder.hidden),
        has_pictures=any(folder.has_pictures for folder in inner) or _holds_pictures(found),
    )


def _holds_pictures(found: _Scanned) -> bool:
    if any(map(is_named_like_one, found.files)):
        return True
    return any(_begins_like_one(found.path / name) for name in found.files[:_SNIFFED])
