"""A tree of folders from the names of files: of a store's objects, or of a tar file's members."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePath, PurePosixPath

from resnet_edge.data.litter import is_build, is_litter_file, is_litter_folder
from resnet_edge.data.names import natural_key
from resnet_edge.data.tree import Folder, is_named_like_one
from resnet_edge.ondevice.picture_kinds import PICTURE_SUFFIXES


@dataclass
class _Growing:
    """A folder that names are added to."""

    files: list[str] = field(default_factory=list)
    folders: dict[str, _Growing] = field(default_factory=dict)


def tree_of(names: Iterable[str]) -> Folder:
    """Return the tree of folders that names of files make, without litter.

    A folder has pictures if a name in it ends like one: nothing is opened.

    Args:
        names: Relative, with forward slashes.
    """
    top = _Growing()
    for name in names:
        *folders, file = name.split("/")
        inner = top
        for folder in folders:
            inner = inner.folders.setdefault(folder, _Growing())
        inner.files.append(file)
    return _folder(top, PurePosixPath(), "")


def _folder(grown: _Growing, path: PurePath, name: str) -> Folder:
    beside = {file.casefold() for file in grown.files}
    files = [f for f in grown.files if not is_litter_file(f, beside, PICTURE_SUFFIXES)]
    folders, hidden = [], []
    for inner, found in sorted(grown.folders.items(), key=lambda item: natural_key(item[0])):
        if is_litter_folder(inner):
            pictures = inner.startswith(".") and any(map(is_named_like_one, found.files))
            hidden += [path / inner] if pictures else []
        elif not is_build(found.files, tuple(found.folders), ()):
            folders.append(_folder(found, path / inner, inner))
    has_own = any(map(is_named_like_one, files))
    return Folder(
        path=path,
        name=name,
        folders=tuple(folders),
        files=tuple(sorted(files, key=natural_key)),
        links=(),
        hidden=(*hidden, *(p for folder in folders for p in folder.hidden)),
        has_pictures=has_own or any(folder.has_pictures for folder in folders),
    )
