"""A table of pictures: a CSV file with a path, a label and, if it likes, a side in each line."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from resnet_edge.data.address import Address, Source, parse_source
from resnet_edge.data.listing import Candidate, GrowingCandidates, Listing
from resnet_edge.data.names import LONGEST_PART, label_of, natural_key, shown
from resnet_edge.data.places import FilePlace, ObjectPlace, Place, place_key
from resnet_edge.data.sides import Side, side_name
from resnet_edge.data.stores import read_file
from resnet_edge.errors import DataError
from resnet_edge.ondevice.picture_kinds import PICTURE_SUFFIXES
from resnet_edge.ondevice.reading import refusing
from resnet_edge.ondevice.text_files import decode_text

TABLE_SUFFIXES = frozenset({".csv", ".tsv"})

MAX_BYTES = 1 << 30
"""Largest table that is read."""

_SAMPLE = 100_000
"""Characters that the separator is found in."""

_SHOWN = 8

_PATH_WORDS = frozenset(
    {
        *("path", "paths", "file", "files", "filename", "file_name", "filepath", "file_path"),
        *("image", "images", "image_path", "image_name", "img", "img_path", "picture", "photo"),
        *("name",),
    }
)
_LABEL_WORDS = frozenset(
    {*("label", "labels", "class", "classes", "class_name", "category", "target", "species")}
)
_SIDE_WORDS = frozenset({*("split", "set", "subset", "side", "partition", "usage", "fold")})
_EXPECTED = "expected path,label or path,label,split in each line"


@dataclass(frozen=True)
class _Columns:
    path: int
    label: int
    side: int | None
    header: bool


def list_table(source: Source) -> Listing:
    """List the pictures of a table.

    Columns are separated by a comma, a semicolon or a tab. A first line of names tells which column
    is which; without it they are path, label and split in this order. Paths are relative to the
    table's folder, absolute, or addresses; a table in a store has no paths of this machine.

    Raises:
        DataError: The file is no such table.
    """
    rows = _read_rows(source)
    columns = _find_columns(rows, source)
    found, seen = GrowingCandidates(), set[tuple[str, str]]()
    problems: list[str] = []
    sides: set[Side | None] = set()
    for number, row in rows[columns.header :]:
        line = f"{source.name}, line {number}"
        cells = [label_of(cell) for cell in row]
        enough = len(cells) > max(columns.path, columns.label)
        if not (enough and cells[columns.path]) or "\0" in cells[columns.path]:
            problems.append(f"{line}: {len(cells)} columns; {_EXPECTED}")
            continue
        label = cells[columns.label]
        if not label or not label.isprintable():
            problems.append(f"{line}: no label; {_EXPECTED}")
            continue
        side = _side_of(cells, columns, line)
        if side is Side.UNLABELLED:
            continue
        sides.add(side)
        place = _place(source.parent, row[columns.path].strip())
        name = _name(place, source.parent)
        if any(len(part.encode()) > LONGEST_PART for part in name.split("/")):
            problems.append(f"{line}: a name of over {LONGEST_PART} bytes; expected a shorter one")
            continue
        if (key := (place_key(place), label)) not in seen:
            seen.add(key)
            found.append(Candidate(place, name, label, side))
    if None in sides and len(sides) > 1:
        raise DataError(
            f"{source}: some lines have a split and some have none; expected one in each line, or "
            "in none"
        )
    candidates = found.done()
    return Listing(
        root=source.parent.absolute(),
        labels=tuple(sorted(candidates.labels(), key=natural_key)),
        candidates=candidates,
        problems=tuple(problems),
        notes=(f"{source.name}: its column of splits is used",) if sides - {None} else (),
    )


def _read_rows(source: Source) -> list[tuple[int, list[str]]]:
    """Return the lines that are not empty, each with its number."""

    def refusal(reason: str) -> DataError:
        return DataError(f"{source}: cannot be read as a table ({reason}); {_EXPECTED}")

    with refusing(refusal):
        data = read_file(source)
        if len(data) > MAX_BYTES:
            raise DataError(
                f"{source}: {len(data):,} bytes; expected a table of at most {MAX_BYTES:,}"
            )
        text = decode_text(data)
        sample = [line for line in text[:_SAMPLE].splitlines() if line.strip()][:20]
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(sample))
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    if not rows:
        raise DataError(f"{source}: no lines in it; {_EXPECTED}")
    return rows


def _delimiter(sample: Sequence[str]) -> str:
    """Return the separator that gives every line of the sample the most columns."""

    def columns(delimiter: str) -> int:
        return min((len(row) for row in csv.reader(sample, delimiter=delimiter)), default=0)

    return max(",;\t", key=columns)


def _find_columns(rows: list[tuple[int, list[str]]], source: Source) -> _Columns:
    first = [cell.strip().casefold().replace(" ", "_") for cell in rows[0][1]]
    path, label, side = (
        next((at for at, cell in enumerate(first) if cell in words), None)
        for words in (_PATH_WORDS, _LABEL_WORDS, _SIDE_WORDS)
    )
    if path is not None and label is not None:
        return _Columns(path, label, side, header=True)
    if len(first) not in (2, 3) or not _is_picture(source.parent, rows[0][1][0].strip()):
        raise DataError(
            f"{source}: its first line is {', '.join(map(shown, rows[0][1][:_SHOWN]))}; {_EXPECTED}"
            ", and these names in the first line if there are other columns"
        )
    return _Columns(0, 1, 2 if len(first) == 3 else None, header=False)


def _side_of(cells: list[str], columns: _Columns, line: str) -> Side | None:
    if columns.side is None or columns.side >= len(cells) or not cells[columns.side]:
        return None
    name = side_name(cells[columns.side])
    if name is None:
        raise DataError(
            f"{line}: split {cells[columns.side]!r}; expected one of train, validation, test"
        )
    return name.side


def _is_picture(folder: Source, cell: str) -> bool:
    if PurePosixPath(cell.partition("?")[0]).suffix.lower() in PICTURE_SUFFIXES:
        return True
    return isinstance(folder, Path) and _find(folder, cell).is_file()


def _place(folder: Source, cell: str) -> Place:
    """Return the place that a cell names: an address, or a path from the table's folder."""
    where = parse_source(cell)
    if isinstance(where, Address):
        return ObjectPlace(where)
    if isinstance(folder, Address):
        return ObjectPlace(folder / cell.replace("\\", "/").removeprefix("./"))
    return FilePlace(where if cell.startswith("file:") else _find(folder, cell))


def _find(folder: Path, cell: str) -> Path:
    """Return the file that a cell names; the plain path where there is none.

    A cell may have Windows' slashes, or another Unicode form than the disk.
    """
    for text in (cell, cell.replace("\\", "/")):
        forms = text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)
        for form in forms:
            if (folder / form).is_file():
                return (folder / form).absolute()
    return (folder / cell).absolute()


def _name(place: Place, folder: Source) -> str:
    if isinstance(place, FilePlace) and isinstance(folder, Path):
        try:
            return place.path.relative_to(folder.absolute()).as_posix()
        except ValueError:
            return place.path.as_posix()
    return str(place).removeprefix(f"{folder}/")
