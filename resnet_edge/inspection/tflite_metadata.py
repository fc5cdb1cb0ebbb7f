"""Reads the metadata that a TFLite file holds beside the graph: name, description, labels.

The format is TensorFlow Lite's ``metadata_schema.fbs`` (file identifier ``M001``); slot numbers are
the positions of the fields in that schema. Labels lie in a zip behind the flatbuffer.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

from flatbuffers import number_types
from flatbuffers.table import Table

from resnet_edge.inspection.contents import MAX_LABELS_BYTES, split_labels

_TENSOR_AXIS_LABELS = 2


@dataclass(frozen=True)
class EmbeddedMetadata:
    """The metadata in a TFLite file; None for what is missing."""

    name: str | None = None
    description: str | None = None
    min_parser_version: str | None = None
    labels: tuple[str, ...] | None = None


def read_embedded_metadata(content: bytes | None, file: bytes) -> EmbeddedMetadata:
    """Read the metadata flatbuffer and the label file that it names.

    Args:
        content: The model buffer ``TFLITE_METADATA``, or None where the file has none.
        file: The whole TFLite file, with the archive behind it.

    Raises:
        ValueError: The label file that the metadata names is missing, too large, or not UTF-8.
    """
    archive = _archive_behind(file)
    if content is None:
        return EmbeddedMetadata()
    root = Table(content, number_types.UOffsetTFlags.packer_type.unpack_from(content, 0)[0])
    names = [name for name in _label_files(root) if name]
    return EmbeddedMetadata(
        name=_string(root, 0),
        description=_string(root, 1),
        min_parser_version=_string(root, 7),
        labels=_read_labels(archive, names[0]) if names else None,
    )


def _archive_behind(file: bytes) -> zipfile.ZipFile | None:
    try:
        return zipfile.ZipFile(io.BytesIO(file))
    except zipfile.BadZipFile:
        return None


def _read_labels(archive: zipfile.ZipFile | None, name: str) -> tuple[str, ...]:
    if archive is None or name not in archive.namelist():
        raise ValueError(f"its metadata names {name!r}, which is not in an archive at its end")
    if archive.getinfo(name).file_size > MAX_LABELS_BYTES:
        raise ValueError(f"{name!r} unpacks to more than {MAX_LABELS_BYTES:,} bytes")
    return split_labels(archive.read(name).decode("utf-8"))


def _label_files(root: Table) -> Iterator[str | None]:
    """Yield the names of the label files of the first graph's outputs."""
    for graph in list(_tables(root, 3))[:1]:
        for output in _tables(graph, 3):
            for file in _tables(output, 6):
                if _kind(file) == _TENSOR_AXIS_LABELS:
                    yield _string(file, 0)


def _kind(file: Table) -> int:
    kind: int = file.GetSlot(_offset(2), 0, number_types.Int8Flags)
    return kind


def _offset(slot: int) -> int:
    return 4 + 2 * slot


def _string(table: Table, slot: int) -> str | None:
    offset = table.Offset(_offset(slot))
    if not offset:
        return None
    value: bytes = table.String(table.Pos + offset)
    return value.decode("utf-8", "replace")


def _tables(table: Table, slot: int) -> Iterator[Table]:
    offset = table.Offset(_offset(slot))
    if not offset:
        return
    start = table.Vector(offset)
    for i in range(table.VectorLen(offset)):
        yield Table(table.Bytes, table.Indirect(start + 4 * i))
