"""TFLite metadata: labels, preprocessing and the model's name inside the file.

The format is TensorFlow Lite's ``metadata_schema.fbs`` (file identifier ``M001``): a flatbuffer in
a model buffer named ``TFLITE_METADATA``, with associated files appended to the model as a zip. No
maintained package writes it, so the few tables that an image classifier needs are built here. Slot
numbers are the positions of the fields in that schema.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

METADATA_NAME = b"TFLITE_METADATA"
LABELS_FILE = "labels.txt"
_MIN_PARSER_VERSION = "1.0.0"
_TENSOR_AXIS_LABELS = 2
_COLOR_SPACE_RGB = 1
_FEATURE_PROPERTIES = 1
_IMAGE_PROPERTIES = 2
_NORMALIZATION_OPTIONS = 1
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class ClassifierMetadata:
    """Facts stored inside a TFLite classifier."""

    name: str
    description: str
    labels: tuple[str, ...]
    image_size: tuple[int, int]
    """Height and width in pixels."""


def add_metadata_buffer(model: schema.ModelT, metadata: ClassifierMetadata) -> None:
    """Store the metadata flatbuffer in the model's buffers, in place of an earlier one."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(build_metadata(metadata), np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name = METADATA_NAME
    entry.buffer = len(model.buffers) - 1
    model.metadata = [m for m in model.metadata or [] if m.name != METADATA_NAME] + [entry]


def label_lines(labels: tuple[str, ...]) -> str:
    """Return labels as a text file, one a line. A line break inside a label becomes a space."""
    return "".join(label.replace("\n", " ") + "\n" for label in labels)


def append_labels(data: bytes, labels: tuple[str, ...]) -> bytes:
    """Append ``labels.txt`` as a zip, where MediaPipe and the Task libraries look for it.

    Args:
        data: A TFLite file.
        labels: Class names in output order, one line each.

    Returns:
        The file with the archive behind it. Interpreters ignore everything behind the flatbuffer.
    """
    stream = io.BytesIO(data)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(LABELS_FILE, _ZIP_EPOCH), label_lines(labels).encode())
    return stream.getvalue()


def read_labels(data: bytes) -> tuple[str, ...] | None:
    """Return the labels a TFLite file carries, or None."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            # Not splitlines: it also splits at characters that a label may hold.
            return tuple(archive.read(LABELS_FILE).decode().removesuffix("\n").split("\n"))
    except (zipfile.BadZipFile, KeyError):
        return None


def build_metadata(metadata: ClassifierMetadata) -> bytes:
    """Build the ``ModelMetadata`` flatbuffer of an image classifier."""
    b = flatbuffers.Builder(1024)
    image = _image_tensor(b, metadata.image_size)
    answer = _probability_tensor(b)
    inputs, outputs = _vector(b, [image]), _vector(b, [answer])
    name, description = b.CreateString(metadata.name), b.CreateString(metadata.description)
    graph = _table(b, 9, {2: inputs, 3: outputs})
    graphs = _vector(b, [graph])
    version = b.CreateString(_MIN_PARSER_VERSION)
    root = _table(b, 8, {0: name, 1: description, 3: graphs, 7: version})
    b.Finish(root, file_identifier=b"M001")
    return bytes(b.Output())


def _image_tensor(b: flatbuffers.Builder, size: tuple[int, int]) -> int:
    """TensorMetadata of the input: RGB of a fixed size, normalized by nothing (mean 0, std 1)."""
    b.StartObject(2)
    b.PrependUint32Slot(0, size[1], 0)
    b.PrependUint32Slot(1, size[0], 0)
    default_size = b.EndObject()
    b.StartObject(2)
    b.PrependInt8Slot(0, _COLOR_SPACE_RGB, 0)
    b.PrependUOffsetTRelativeSlot(1, default_size, 0)
    properties = b.EndObject()
    b.StartObject(3)
    b.PrependUint8Slot(0, _IMAGE_PROPERTIES, 0)
    b.PrependUOffsetTRelativeSlot(1, properties, 0)
    content = b.EndObject()
    mean, std = _floats(b, [0.0]), _floats(b, [1.0])
    normalization = _table(b, 2, {0: mean, 1: std})
    b.StartObject(2)
    b.PrependUint8Slot(0, _NORMALIZATION_OPTIONS, 0)
    b.PrependUOffsetTRelativeSlot(1, normalization, 0)
    units = _vector(b, [b.EndObject()])
    highest, lowest = _floats(b, [255.0]), _floats(b, [0.0])
    stats = _table(b, 2, {0: highest, 1: lowest})
    name = b.CreateString("image")
    description = b.CreateString("RGB picture, raw levels 0 to 255; the graph normalizes it itself")
    return _table(b, 7, {0: name, 1: description, 3: content, 4: units, 5: stats})


def _probability_tensor(b: flatbuffers.Builder) -> int:
    """TensorMetadata of the output: probabilities, labelled by ``labels.txt``."""
    file_name = b.CreateString(LABELS_FILE)
    about = b.CreateString("Class names, one a line, in output order")
    b.StartObject(5)
    b.PrependUOffsetTRelativeSlot(0, file_name, 0)
    b.PrependUOffsetTRelativeSlot(1, about, 0)
    b.PrependInt8Slot(2, _TENSOR_AXIS_LABELS, 0)
    files = _vector(b, [b.EndObject()])
    properties = _table(b, 0, {})
    b.StartObject(3)
    b.PrependUint8Slot(0, _FEATURE_PROPERTIES, 0)
    b.PrependUOffsetTRelativeSlot(1, properties, 0)
    content = b.EndObject()
    highest, lowest = _floats(b, [1.0]), _floats(b, [0.0])
    stats = _table(b, 2, {0: highest, 1: lowest})
    name = b.CreateString("probabilities")
    description = b.CreateString("Probability of each class, 0 to 1")
    return _table(b, 7, {0: name, 1: description, 3: content, 5: stats, 6: files})


def _table(b: flatbuffers.Builder, slots: int, offsets: dict[int, int]) -> int:
    b.StartObject(slots)
    for slot, offset in offsets.items():
        b.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return int(b.EndObject())


def _vector(b: flatbuffers.Builder, offsets: list[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return int(b.EndVector())


def _floats(b: flatbuffers.Builder, values: list[float]) -> int:
    return int(b.CreateNumpyVector(np.asarray(values, np.float32)))
