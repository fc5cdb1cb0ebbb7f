"""TFRecords of pictures, as TensorFlow Datasets and TensorFlow's models keep them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import PurePosixPath

from resnet_edge.data.places import RangePlace
from resnet_edge.data.sources.archives import Archive, Contents, Entry
from resnet_edge.data.sources.tfrecord_framing import Feature, Record, read_example, read_records
from resnet_edge.data.stores import opened
from resnet_edge.errors import DataError
from resnet_edge.ondevice.reading import refusing

_PICTURES = ("image", "image/encoded", "img", "picture", "photo")
_LABELS = ("image/class/text", "label", "image/class/label", "class", "target", "label/text")
"""Features of a label, the likeliest first; a text tells more than a number."""
_NAMES = ("image/filename", "file_name", "filename", "image/source_id", "id")

_GZIP = b"\x1f\x8b"


def read_tfrecord(archive: Archive) -> Contents:
    """List the examples of a TFRecord.

    All of the file is read once: only the checksum of a record's bytes, the picture among them,
    proves its label.

    Raises:
        DataError: It is no TFRecord, is damaged, or has no pictures.
        RuntimeMissingError: google-crc32c is not installed.
    """

    def refusal(reason: str) -> DataError:
        return DataError(
            f"{archive.source}: not a TFRecord, or a damaged one ({reason}); expected a whole, "
            "plain TFRecord; copy it again"
        )

    entries: list[Entry] = []
    with refusing(refusal), opened(archive.source) as stream:
        if stream.read(2) == _GZIP:
            raise DataError(
                f"{archive.source}: compressed as a whole, so no picture in it can be read alone; "
                "expected a plain TFRecord; unpack it once, for instance with `gunzip`"
            )
        stream.seek(0)
        for number, record in enumerate(read_records(stream)):
            entries.append(_entry(archive, number, record))
    return Contents(tuple(entries))


def _entry(archive: Archive, number: int, record: Record) -> Entry:
    features = read_example(record.data)
    span = next((f.span for name in _PICTURES if (f := features.get(name)) and f.span), None)
    if span is None:
        raise DataError(
            f"{archive.source}: record {number} has no picture; got features "
            f"{', '.join(sorted(features)) or 'none'}; expected image or image/encoded"
        )
    place = RangePlace(
        archive.source, record.offset + span.start, span.end - span.start, archive.version
    )
    found = next((f for key in _LABELS if (f := features.get(key)) and _is_told(f)), None)
    label: int | str | None = None if found is None else found.number
    if found is not None and found.span is not None:
        with contextlib.suppress(UnicodeDecodeError):  # then it is no label
            label = _bytes(record, found).decode()
    names = (_bytes(record, f).decode("utf-8", "replace") for f in _named(features))
    name = next((PurePosixPath(name).name for name in names), "")
    return Entry(place, f"{number}/{name}" if name else str(number), label)


def _is_told(feature: Feature) -> bool:
    return feature.number is not None or feature.span is not None


def _named(features: Mapping[str, Feature]) -> list[Feature]:
    found = (features.get(key) for key in _NAMES)
    return [f for f in found if f is not None and f.span and f.span.end > f.span.start]


def _bytes(record: Record, feature: Feature) -> bytes:
    assert feature.span is not None
    return record.data[feature.span.start : feature.span.end]
