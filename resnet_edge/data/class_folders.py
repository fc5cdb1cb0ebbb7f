"""Class folders: what a layout says of a folder of pictures, and the pictures in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from resnet_edge.data.listing import Candidate, Candidates, GrowingCandidates
from resnet_edge.data.names import is_utf8, shown
from resnet_edge.data.origins import Origin
from resnet_edge.data.sides import Side
from resnet_edge.data.tree import Folder, is_named_like_one


@dataclass(frozen=True)
class ClassFolder:
    """A folder of pictures of one class, or ImageNet's flat one of many."""

    folder: Folder
    label: str
    side: Side | None
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of a flat folder, the label of each picture by its name without ending."""
    labels_file: str = ""
    """The file that these come from; empty for a folder that is a class."""


def list_class_folders(
    folders: Sequence[ClassFolder], root: PurePath, origin: Origin, words: Mapping[str, str]
) -> tuple[Candidates, list[str]]:
    """Return the files that must be pictures, and the problems that names alone show.

    Args:
        folders: The class folders.
        root: The folder that names are relative to.
        origin: What the tree was read from.
        words: Labels in words, by the label that is replaced.
    """
    found = GrowingCandidates()
    problems: list[str] = []
    for entry in folders:
        for folder in entry.folder.walk():
            inside = folder.path.relative_to(root).as_posix()
            before = "" if inside == "." else f"{inside}/"
            for name in folder.links:
                where = before + name
                problems.append(
                    f"{shown(where)}: a symbolic link to a folder; expected the folder itself"
                )
            for name in folder.files:
                path = folder.path / name
                where = before + name
                label = entry.label
                if entry.labels_file:
                    if not is_named_like_one(name):  # the file of the labels itself
                        continue
                    label = entry.labels.get(path.stem, "")
                if not is_utf8(where):
                    problems.append(f"{shown(where)}: not named in UTF-8; rename it")
                elif entry.labels_file and not label:
                    problems.append(f"{where}: not in {entry.labels_file}; expected its label")
                else:
                    label = words.get(label, label)
                    found.append(Candidate(origin.place(path), where, label, entry.side))
    return found.done(), problems
