"""Metadata inside a TFLite file, read back by the slots of the public schema, and as a zip."""

import io
import zipfile

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from flatbuffers import number_types
from flatbuffers.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.tflite import flatbuffer
from converters.tflite.metadata import (
    ClassifierMetadata,
    add_metadata_buffer,
    append_labels,
    build_metadata,
    label_lines,
    read_labels,
)

METADATA = ClassifierMetadata("pets", "which pet", ("cat", "dog"), (48, 64))


class Reader:
    """A table of a flatbuffer, read by slot numbers: the order of ``metadata_schema.fbs``."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def _at(self, slot: int) -> int:
        offset = self._table.Offset(4 + 2 * slot)
        assert offset, f"slot {slot} is empty"
        return offset + self._table.Pos

    def table(self, slot: int) -> "Reader":
        return Reader(Table(self._table.Bytes, self._table.Indirect(self._at(slot))))

    def tables(self, slot: int) -> list["Reader"]:
        offset = self._at(slot) - self._table.Pos
        start = self._table.Vector(offset)
        return [
            Reader(Table(self._table.Bytes, self._table.Indirect(start + 4 * i)))
            for i in range(self._table.VectorLen(offset))
        ]

    def text(self, slot: int) -> str:
        return self._table.String(self._at(slot)).decode()

    def floats(self, slot: int) -> list[float]:
        offset = self._at(slot) - self._table.Pos
        return self._table.GetVectorAsNumpy(number_types.Float32Flags, offset).tolist()

    def number(self, slot: int, flags: object) -> int:
        return self._table.Get(flags, self._at(slot))


def root_of(data: bytes) -> Reader:
    assert data[4:8] == b"M001"
    offset = flatbuffers.encode.Get(flatbuffers.packer.uoffset, data, 0)
    return Reader(Table(bytearray(data), offset))


def test_model_and_graph() -> None:
    root = root_of(build_metadata(METADATA))
    assert (root.text(0), root.text(1), root.text(7)) == ("pets", "which pet", "1.0.0")
    (graph,) = root.tables(3)
    assert len(graph.tables(2)) == len(graph.tables(3)) == 1


def test_the_input_is_an_rgb_picture_of_raw_levels() -> None:
    (graph,) = root_of(build_metadata(METADATA)).tables(3)
    (image,) = graph.tables(2)
    assert image.text(0) == "image"
    content = image.table(3)
    assert content.number(0, number_types.Uint8Flags) == 2  # ImageProperties
    assert content.table(1).number(0, number_types.Int8Flags) == 1  # RGB
    size = content.table(1).table(1)
    assert size.number(0, number_types.Uint32Flags) == 64  # width
    assert size.number(1, number_types.Uint32Flags) == 48  # height
    (unit,) = image.tables(4)
    assert unit.number(0, number_types.Uint8Flags) == 1  # NormalizationOptions
    assert (unit.table(1).floats(0), unit.table(1).floats(1)) == ([0.0], [1.0])
    assert (image.table(5).floats(0), image.table(5).floats(1)) == ([255.0], [0.0])


def test_the_output_is_labelled() -> None:
    (graph,) = root_of(build_metadata(METADATA)).tables(3)
    (answer,) = graph.tables(3)
    assert answer.text(0) == "probabilities"
    assert answer.table(3).number(0, number_types.Uint8Flags) == 1  # FeatureProperties
    (file,) = answer.tables(6)
    assert file.text(0) == "labels.txt"
    assert file.number(2, number_types.Int8Flags) == 2  # TENSOR_AXIS_LABELS


def test_the_buffer_in_the_model_replaces_one_that_is_there(tiny) -> None:
    model = flatbuffer.read_flatbuffer(tiny.tflite_float32)
    add_metadata_buffer(model, ClassifierMetadata("old", "", ("a",), (1, 1)))
    add_metadata_buffer(model, METADATA)
    again = flatbuffer.read_flatbuffer(flatbuffer.write_flatbuffer(model))
    (entry,) = [m for m in again.metadata if m.name == b"TFLITE_METADATA"]
    assert bytes(again.buffers[entry.buffer].data) == build_metadata(METADATA)
    assert {m.name for m in again.metadata} > {b"TFLITE_METADATA"}


def test_labels_lie_behind_the_model_as_a_zip(tiny) -> None:
    data = append_labels(tiny.tflite_float32, ("cat", "été", "two\nlines", ""))
    assert data.startswith(tiny.tflite_float32)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["labels.txt"]
        assert archive.testzip() is None
        (member,) = archive.infolist()
        assert member.compress_type == zipfile.ZIP_STORED
    assert read_labels(data) == ("cat", "été", "two lines", "")
    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    interpreter.set_tensor(0, tiny.pictures[:1].astype(np.float32))
    interpreter.invoke()


def test_appending_twice_gives_the_same_bytes() -> None:
    assert append_labels(b"x", ("a", "b")) == append_labels(b"x", ("a", "b"))


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=8),
        min_size=1,
        max_size=5,
    )
)
def test_any_label_comes_back(labels: list[str]) -> None:
    """Also those with characters that ``str.splitlines`` takes for line ends."""
    assert read_labels(append_labels(b"flatbuffer", tuple(labels))) == tuple(labels)


def test_label_lines() -> None:
    assert label_lines(("a", "b\nc")) == "a\nb c\n"


@pytest.mark.parametrize("data", [b"", b"TFL3", b"x" * 100])
def test_a_file_without_labels(data: bytes) -> None:
    assert read_labels(data) is None
