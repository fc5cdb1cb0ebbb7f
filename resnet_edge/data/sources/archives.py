"""Archives of pictures: which files they are, which side each is for, and what they hold together.

A tar file, a Parquet file and a TFRecord hold many pictures each, and are often one of many shards.
"""

from __future__ import annotations

import enum
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from resnet_edge.data.address import Source
from resnet_edge.data.listing import Candidate, GrowingCandidates, Listing
from resnet_edge.data.names import is_utf8, label_of, natural_key, shown
from resnet_edge.data.places import Place
from resnet_edge.data.sides import Side, side_name
from resnet_edge.data.stores import Stamp
from resnet_edge.errors import DataError

_NAMED = 5
"""Names in a message; of more, the number is given."""


class ArchiveKind(enum.Enum):
    """A kind of file that holds many pictures, by its name for people."""

    TAR = "tar"
    PARQUET = "Parquet"
    TFRECORD = "TFRecord"


_ENDINGS = (
    (ArchiveKind.TAR, re.compile(r"\.tar$", re.IGNORECASE)),
    (ArchiveKind.PARQUET, re.compile(r"\.(parquet|pq)$", re.IGNORECASE)),
    (
        ArchiveKind.TFRECORD,
        re.compile(r"\.(tfrecords?|tfrec|record)(-\d+-of-\d+)?$|-\d{5}-of-\d{5}$", re.IGNORECASE),
    ),
)
_COMPRESSED = re.compile(r"\.(tar|tfrecords?)?\.?(gz|bz2|xz|zst|lz4)$|\.tgz$", re.IGNORECASE)
_COUNTER = re.compile(r"[-_.]?\d+(-of-\d+)?$")


@dataclass(frozen=True)
class Archive:
    """One file that holds many pictures."""

    source: Source
    """Absolute."""
    name: str
    """Relative to the root, with forward slashes."""
    version: Stamp | None = None
    """What a store told of its version."""
    side: Side | None = None


@dataclass(frozen=True)
class Archives:
    """All archives of a source."""

    root: Source
    """The folder that holds them, or the only archive."""
    kind: ArchiveKind
    files: tuple[Archive, ...]
    """In natural order of their names."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture in an archive."""

    place: Place
    name: str
    """Within the archive; unique there."""
    label: int | str | None
    """The class by number or by name; None without one."""


@dataclass(frozen=True)
class Contents:
    """The pictures of one archive."""

    entries: tuple[Entry, ...]
    problems: tuple[str, ...] = ()
    """Defects of members, as ``name: reason``; names are relative to the archive."""
    classes: tuple[str, ...] = ()
    """Names of the classes by number, where the archive knows them."""
    notes: tuple[str, ...] = ()


def kind_of(name: str) -> ArchiveKind | None:
    """Return the kind of an archive by its name, or None for another file."""
    return next((kind for kind, ending in _ENDINGS if ending.search(name)), None)


def is_compressed(name: str) -> bool:
    """Return True for the name of an archive that is compressed as a whole."""
    return bool(_COMPRESSED.search(name))


def gather(root: Source, files: Iterable[Archive], source: Source) -> Archives | None:
    """Put the archives of a folder together.

    Args:
        root: The folder.
        files: All of its files.
        source: Its name in messages.

    Returns:
        None where there are no archives among the files.

    Raises:
        DataError: There are archives of several kinds, or the sides that some names tell are
            missing in others.
    """
    every = sorted(files, key=lambda file: natural_key(file.name))
    kinds = {file.name: kind for file in every if (kind := kind_of(file.name)) is not None}
    if not kinds:
        packed = [file.name for file in every if is_compressed(file.name)]
        if packed:
            raise compressed(source, packed[0])
        return None
    if len(set(kinds.values())) > 1:
        first = {kind.value: name for name, kind in reversed(list(kinds.items()))}
        raise DataError(
            f"{source}: archives of {len(first)} kinds ({', '.join(sorted(first.values()))}); "
            "expected one kind; pass a pattern, for instance "
            f"{source}/*{PurePosixPath(next(iter(kinds))).suffix}"
        )
    found = [file for file in every if file.name in kinds]
    sided, notes = _with_sides(found, source)
    return Archives(root, next(iter(kinds.values())), tuple(sided), notes)


def compressed(source: Source, name: str) -> DataError:
    """The error for an archive that is compressed as a whole."""
    where = f"{source}: {name}" if name else f"{source}"
    return DataError(
        f"{where}: compressed as a whole, so no picture in it can be read alone; expected a plain "
        ".tar, .parquet or .tfrecord; unpack it once, for instance with `gunzip`"
    )


def side_of(name: str) -> Side | None:
    """Return the side that an archive's name, or else a folder of it, speaks of."""
    path = PurePosixPath(name)
    stem = path.name
    for _, ending in _ENDINGS:
        stem = ending.sub("", stem)
    for part in (_COUNTER.sub("", stem), *reversed(path.parts[:-1])):
        if (found := side_name(part)) is not None:
            return found.side
    return None


def _with_sides(files: list[Archive], source: Source) -> tuple[list[Archive], tuple[str, ...]]:
    sides = {file.name: side_of(file.name) for file in files}
    told = {side for side in sides.values() if side is not None}
    if len(told) < 2:  # one name decides nothing
        return files, ()
    if silent := [name for name, side in sides.items() if side is None]:
        raise DataError(
            f"{source}: {silent[0]} has no side in its name, others have ("
            f"{', '.join(sorted(side.value for side in told))}); expected one in each, or in none; "
            "rename it, or pass a pattern of those to take"
        )
    kept = [
        replace(file, side=sides[file.name])
        for file in files
        if sides[file.name] is not Side.UNLABELLED
    ]
    counts = Counter(file.side for file in kept)
    words = ", ".join(f"{counts[side]} for {side.value}" for side in Side if counts[side])
    return kept, (f"the archives are a split: {words}",)


def list_archives(
    archives: Archives,
    parts: Sequence[Contents],
    source: Source,
    classes: tuple[str, ...] = (),
    *,
    labelled: bool = True,
) -> Listing:
    """List the pictures of archives.

    Args:
        archives: The archives.
        parts: What each holds, in the same order.
        source: Their name in messages.
        classes: Names of the classes by number, from a file beside them.
        labelled: False where pictures need no label.

    Raises:
        DataError: Archives name their classes differently, or no picture has a label.
    """
    named = {part.classes for part in parts if part.classes}
    if len(named) > 1:
        raise DataError(
            f"{source}: its archives name their classes differently; expected the same names in "
            "the same order in each; pass a pattern of those that belong together"
        )
    classes = _unique(classes or next(iter(named), ()))
    several = len(archives.files) > 1
    growing = GrowingCandidates()
    problems: list[str] = []
    notes = [*archives.notes, *(note for part in parts for note in part.notes)]
    for file, part in zip(archives.files, parts, strict=True):
        before = f"{file.name}/" if several else ""
        if labelled and part.entries and all(e.label in (None, -1) for e in part.entries):
            if file.side is not None:
                notes.append(f"{file.name}: no labels, not used")
                continue
            raise _no_labels(file.source, archives.kind)
        problems += [f"{before}{problem}" for problem in part.problems]
        for entry in part.entries:
            name = before + entry.name
            label = _label(entry.label, classes)
            if not is_utf8(name):
                problems.append(f"{shown(name)}: not named in UTF-8; rename it")
            elif isinstance(label, str):
                growing.append(Candidate(entry.place, name, label, file.side))
            elif labelled:
                problems.append(f"{shown(name)}: {label.reason}")
            else:
                growing.append(Candidate(entry.place, name, "", file.side))
    candidates = growing.done()
    used = candidates.labels()
    ordered = [name for name in classes if name in used]
    ordered += sorted(used.difference(ordered), key=natural_key)
    if unused := [name for name in classes if name not in used]:
        more = f" and {len(unused) - _NAMED} more" if len(unused) > _NAMED else ""
        words = ", ".join(unused[:_NAMED]) + more
        notes.append(f"{len(unused)} of {len(classes)} classes have no pictures: {words}")
    return Listing(archives.root, tuple(ordered), candidates, tuple(problems), tuple(unique(notes)))


def unique(words: Iterable[str]) -> list[str]:
    """Return texts in order, each once."""
    return list(dict.fromkeys(words))


_LABELS = {
    ArchiveKind.TAR: "a file beside each picture (KEY.cls, KEY.txt or KEY.json beside KEY.jpg), or "
    "a folder per class",
    ArchiveKind.PARQUET: "a column named label",
    ArchiveKind.TFRECORD: "a feature named label or image/class/label",
}


def _no_labels(source: Source, kind: ArchiveKind) -> DataError:
    return DataError(f"{source}: pictures without labels; expected {_LABELS[kind]}")


@dataclass(frozen=True)
class _Refused:
    reason: str


def _label(found: int | str | None, classes: tuple[str, ...]) -> str | _Refused:
    """Return the label that an archive's number or name stands for."""
    if found is None:
        return _Refused("no label")
    text = label_of(str(found))
    if not text:
        return _Refused("an empty label; expected the class")
    number = int(text) if classes and re.fullmatch(r"-?\d{1,9}", text) else None
    if number is not None and text not in classes:
        if not 0 <= number < len(classes):
            return _Refused(f"label {number}; expected 0 to {len(classes) - 1}")
        return classes[number]
    if text == "-1":
        return _Refused("label -1, which stands for none; expected the class")
    if not text.isprintable() or len(text) > 200:
        return _Refused(f"its label is {shown(text[:40])}…; expected the name of a class")
    return text


def _unique(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Tell classes of the same name apart by their numbers."""
    counts = Counter(map(label_of, classes))
    return tuple(
        label_of(name) if counts[label_of(name)] == 1 else f"{label_of(name)} ({number})"
        for number, name in enumerate(classes)
    )
