"""TFRecords without TensorFlow: the frames of records, and the fields of an example within one.

A record is its length (8 bytes), a checksum of that (4), its bytes, and a checksum of those (4);
checksums are masked CRC-32C (``tensorflow/core/lib/io/record_writer.h``). A record's bytes are a
``tf.train.Example`` (``tensorflow/core/example/example.proto``). Both formats have not changed for
ten years, and packages that read them without TensorFlow check no checksum or tell no offsets.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from resnet_edge.errors import RuntimeMissingError

MOST_RECORD_BYTES = 1 << 30
"""Largest record that is read."""

_MASK_DELTA = 0xA282EAD8


@dataclass(frozen=True, slots=True)
class Record:
    """One record."""

    offset: int
    """Of its first byte in the file."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes within a record."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature's first value; all are None where it has none of that kind."""

    span: Span | None = None
    """A byte string."""
    number: int | None = None


def read_records(stream: BinaryIO) -> Iterator[Record]:
    """Read records in order and check each, one in memory at a time.

    Raises:
        ValueError: A checksum differs, or the file is cut off.
        RuntimeMissingError: google-crc32c is not installed.
    """
    offset = 0
    while head := stream.read(12):
        if len(head) < 12:
            raise ValueError(f"it is cut off at byte {offset:,}")
        length, checksum = struct.unpack("<QI", head)
        if _masked_crc(head[:8]) != checksum:
            raise ValueError(f"the checksum of the length at byte {offset:,} differs")
        if length > MOST_RECORD_BYTES:
            raise ValueError(f"a record of {length:,} bytes: over {MOST_RECORD_BYTES:,}")
        body = stream.read(length + 4)
        if len(body) < length + 4:
            raise ValueError(f"it is cut off at byte {offset + 12 + len(body):,}")
        data = body[:-4]
        if _masked_crc(data) != int.from_bytes(body[-4:], "little"):
            raise ValueError(f"the checksum of the record at byte {offset:,} differs")
        yield Record(offset + 12, data)
        offset += 12 + length + 4


def _masked_crc(data: bytes) -> int:
    try:
        import google_crc32c
    except ImportError as problem:
        raise RuntimeMissingError(
            "google-crc32c, which checks TFRecords, is not installed; run `pip install "
            "google-crc32c`",
            "google-crc32c",
        ) from problem
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def read_example(data: bytes) -> dict[str, Feature]:
    """Return the features of an example by name, each with its first value.

    Args:
        data: A serialized ``tf.train.Example``.

    Raises:
        ValueError: It is none.
    """
    found: dict[str, Feature] = {}
    for features in _fields(data, Span(0, len(data)), 1):
        for entry in _fields(data, features, 1):
            name, value = "", Feature()
            for key in _fields(data, entry, 1):
                name = data[key.start : key.end].decode()
            for feature in _fields(data, entry, 2):
                value = _feature(data, feature)
            found[name] = value
    return found


def _feature(data: bytes, span: Span) -> Feature:
    for texts in _fields(data, span, 1):  # BytesList
        return Feature(span=next(_fields(data, texts, 1), None))
    for numbers in _fields(data, span, 3):  # Int64List: packed, or one field for each
        for packed in _fields(data, numbers, 1):
            if packed.start < packed.end:
                return Feature(number=_signed(_varint(data, packed.start, packed.end)[0]))
        return Feature(number=_first_varint(data, numbers))
    return Feature()


def _first_varint(data: bytes, span: Span) -> int | None:
    at = span.start
    if at >= span.end:
        return None
    tag, at = _varint(data, at, span.end)
    return _signed(_varint(data, at, span.end)[0]) if tag == 1 << 3 else None


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _fields(data: bytes, span: Span, wanted: int) -> Iterator[Span]:
    """Yield the byte fields of one number in a message; others are passed over."""
    at = span.start
    while at < span.end:
        tag, at = _varint(data, at, span.end)
        match tag & 7:  # the wire type: a number, 8 bytes, 4 bytes, bytes
            case 0:
                _, at = _varint(data, at, span.end)
            case 1:
                at += 8
            case 5:
                at += 4
            case 2:
                size, at = _varint(data, at, span.end)
                if size > span.end - at:
                    raise ValueError("not a tf.train.Example: a field is longer than its message")
                if tag >> 3 == wanted:
                    yield Span(at, at + size)
                at += size
            case _:
                raise ValueError(f"not a tf.train.Example: wire type {tag & 7}")
    if at > span.end:
        raise ValueError("not a tf.train.Example: it is cut off")


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return a number and the byte behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value & (1 << 64) - 1, at
    raise ValueError("not a tf.train.Example: a number without an end")
