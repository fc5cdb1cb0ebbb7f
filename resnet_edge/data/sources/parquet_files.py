"""Parquet files of pictures, as Hugging Face keeps data sets: only labels and names are read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from resnet_edge.data.places import RowPlace
from resnet_edge.data.sources.archives import Archive, Contents, Entry
from resnet_edge.data.sources.parquet_rows import open_parquet, picture_column
from resnet_edge.errors import DataError

_LABEL_COLUMNS = ("label", "labels", "class", "category", "target", "fine_label", "class_name")
"""Names of columns of labels, the likeliest first."""


def read_rows(archive: Archive) -> Contents:
    """List the rows of a Parquet file: each one's label, and the name its picture had.

    Raises:
        DataError: It is no Parquet file, is damaged, or has no columns of pictures and labels.
        RuntimeMissingError: pyarrow is not installed.
    """
    with open_parquet(archive.source) as file:
        pictures = picture_column(file)
        columns = ", ".join(file.schema_arrow.names)
        if not pictures:
            raise DataError(
                f"{archive.source}: no column of pictures; got {columns}; expected one named image "
                "with the pictures' bytes, as Hugging Face has it"
            )
        names = _class_names(file)
        label, note = _label_column(file, tuple(names))
        path = f"{pictures.removesuffix('.bytes')}.path"
        paths = path if path in _leaves(file) else None
        entries = tuple(_entries(file, archive, label, paths))
    notes = (note,) if note else ()
    return Contents(entries, classes=names.get(label or "", ()), notes=notes)


def _leaves(file: Any) -> list[str]:  # noqa: ANN401 - pyarrow has no types
    return [file.schema.column(i).path for i in range(len(file.schema.names))]


def _class_names(file: Any) -> dict[str, tuple[str, ...]]:  # noqa: ANN401 - pyarrow has no types
    """Return the names of classes that Hugging Face's description has, by column."""
    metadata = file.schema_arrow.metadata or {}
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {
        name: tuple(map(str, feature["names"]))
        for name, feature in features.items()
        if isinstance(feature, dict)
        and feature.get("_type") == "ClassLabel"
        and isinstance(feature.get("names"), list)
    }


def _label_column(file: Any, named: tuple[str, ...]) -> tuple[str | None, str]:  # noqa: ANN401
    """Return the column of labels and what to say of it: the one named so, or of class names."""
    columns = file.schema_arrow.names
    found = next((name for name in _LABEL_COLUMNS if name in columns), None)
    if found is None:
        found = next((name for name in columns if name in named), None)
    others = [name for name in named if name != found]
    if found is None or not others:
        return found, ""
    return found, f"the column {found} has the labels; not used: {', '.join(others)}"


def _entries(
    file: Any,  # noqa: ANN401 - pyarrow has no types
    archive: Archive,
    label: str | None,
    paths: str | None,
) -> Iterator[Entry]:
    wanted = [column for column in (label, paths) if column is not None]
    number = 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        table = file.read_row_group(group, columns=wanted) if wanted else None
        labels = _values(table, label, rows)
        names = _values(table, None if paths is None else paths.partition(".")[0], rows)
        for row in range(rows):
            value = labels[row]
            known = isinstance(value, (int, str)) and not isinstance(value, bool)
            place = RowPlace(archive.source, group, row, archive.version)
            yield Entry(place, _name(number, names[row]), value if known else None)
            number += 1


def _values(table: Any, column: str | None, rows: int) -> list[Any]:  # noqa: ANN401
    return [None] * rows if column is None else table.column(column).to_pylist()


def _name(number: int, image: Any) -> str:  # noqa: ANN401 - a value of pyarrow
    path = image.get("path") if isinstance(image, dict) else None
    name = PurePosixPath(path).name if isinstance(path, str) else ""
    return f"{number}/{name}" if name else str(number)
