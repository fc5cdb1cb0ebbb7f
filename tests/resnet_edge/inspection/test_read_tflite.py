from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resnet_edge.errors import ArtifactError
from resnet_edge.inspection.contents import Count, Endpoint, WeightGroup
from resnet_edge.inspection.tflite import read_tflite
from resnet_edge.ondevice.formats.kinds import Quantization

MakeTFLite = Callable[..., bytes]
FUZZ = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def write(tmp_path: Path, make_tflite: MakeTFLite) -> Callable[[str], Path]:
    def write_kind(kind: str) -> Path:
        path = tmp_path / "model.tflite"
        path.write_bytes(make_tflite(kind))
        return path

    return write_kind


@pytest.mark.parametrize(
    ("kind", "quantization", "computation"),
    [
        ("float32", Quantization.NONE.value, "float32"),
        ("float16", Quantization.FLOAT16_WEIGHTS.value, "float16 weights"),
        (
            "dynamic",
            Quantization.DYNAMIC.value,
            "int8 weights, activations quantized at run time",
        ),
        ("static", Quantization.STATIC.value, "int8 weights and activations"),
        ("integer only", Quantization.INTEGER_ONLY.value, "int8 weights and activations"),
        (
            "int16x8",
            "static: int8 weights, int16 activations, float softmax",
            "int8 weights, int16 activations",
        ),
        (
            "weight only",
            "weight only: int8 weights, float32 activations",
            "int8 weights, float32 activations",
        ),
    ],
)
def test_quantization_is_read_from_the_graph(
    write: Callable[[str], Path], kind: str, quantization: str, computation: str
) -> None:
    contents = read_tflite(write(kind))
    assert contents.quantization == quantization
    assert contents.computations == (Count(computation, 1),)


@pytest.mark.parametrize(
    ("kind", "weights"),
    [
        ("float32", WeightGroup("float32", "not quantized", 1, 12)),
        ("float16", WeightGroup("float16", "not quantized", 1, 12)),
        ("dynamic", WeightGroup("int8", "per-tensor", 1, 12)),
        ("static", WeightGroup("int8", "per-channel", 1, 12)),
    ],
)
def test_weights_are_counted_by_dtype_and_granularity(
    write: Callable[[str], Path], kind: str, weights: WeightGroup
) -> None:
    assert read_tflite(write(kind)).weights == (weights,)


def test_endpoints_have_scale_and_zero_point(write: Callable[[str], Path]) -> None:
    contents = read_tflite(write("integer only"))
    assert contents.inputs == (Endpoint("image", "int8", (1, 4), 1.0, -128),)
    assert contents.outputs == (Endpoint("probabilities", "int8", (1, 3), 1 / 256, -128),)


def test_operators_labels_and_metadata(
    write: Callable[[str], Path], labels: tuple[str, ...]
) -> None:
    contents = read_tflite(write("static"))
    assert contents.operators == (
        Count("DEQUANTIZE", 1),
        Count("FULLY_CONNECTED", 1),
        Count("SOFTMAX", 1),
    )
    assert contents.labels == labels
    assert contents.model_name == "pets"
    assert contents.metadata["description"] == "Pets."
    assert contents.metadata["min_parser_version"] == "1.0.0"


def test_a_file_without_metadata_has_no_labels(tmp_path: Path, make_tflite: MakeTFLite) -> None:
    path = tmp_path / "plain.tflite"
    path.write_bytes(make_tflite("float32", metadata=False))
    contents = read_tflite(path)
    assert contents.labels is None
    assert contents.model_name is None
    assert contents.metadata["description"] == "made by hand"


def test_garbage_is_no_tflite_file(tmp_path: Path) -> None:
    path = tmp_path / "x.tflite"
    path.write_bytes(b"hello, I am no model")
    with pytest.raises(ArtifactError) as problem:
        read_tflite(path)
    assert str(problem.value) == (
        f"{path}: no TFLite file (20 bytes, identifier b'o, I'); expected b'TFL3' at byte 4; "
        "export or copy it again"
    )


def test_lost_labels_are_a_truncated_file(tmp_path: Path, make_tflite: MakeTFLite) -> None:
    path = tmp_path / "x.tflite"
    path.write_bytes(make_tflite("float32")[:-1])
    with pytest.raises(
        ArtifactError,
        match=r"truncated or damaged TFLite file \(its metadata names 'labels.txt', which is not",
    ):
        read_tflite(path)


def test_a_label_bomb_is_not_unpacked(
    tmp_path: Path, make_tflite: MakeTFLite, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.tflite"
    path.write_bytes(make_tflite("float32"))
    monkeypatch.setattr("resnet_edge.inspection.tflite_metadata.MAX_LABELS_BYTES", 5)
    with pytest.raises(ArtifactError, match=r"'labels.txt' unpacks to more than 5 bytes"):
        read_tflite(path)


def test_labels_that_are_not_utf8(tmp_path: Path, make_tflite: MakeTFLite) -> None:
    data = make_tflite("float32")
    stream = io.BytesIO(data[: data.index(b"PK\x03\x04")])
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("labels.txt", b"\xff\xfe")
    path = tmp_path / "x.tflite"
    path.write_bytes(stream.getvalue())
    with pytest.raises(ArtifactError, match="can't decode byte 0xff"):
        read_tflite(path)


@FUZZ
@given(share=st.floats(0, 1, exclude_max=True))
def test_every_truncation_is_found(tmp_path: Path, make_tflite: MakeTFLite, share: float) -> None:
    data = make_tflite("static")
    path = tmp_path / "x.tflite"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ArtifactError, match=r"truncated or damaged TFLite|no TFLite file"):
        read_tflite(path)


@FUZZ
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_a_flipped_byte_is_read_or_refused(
    tmp_path: Path, make_tflite: MakeTFLite, place: float, value: int
) -> None:
    data = bytearray(make_tflite("static"))
    data[int(place * len(data))] = value
    path = tmp_path / "x.tflite"
    path.write_bytes(bytes(data))
    with contextlib.suppress(ArtifactError):
        assert read_tflite(path).operators


def test_weights_beyond_the_end_are_found(tmp_path: Path, make_tflite: MakeTFLite) -> None:
    from ai_edge_litert import schema_py_generated as schema

    data = make_tflite("float32", metadata=False)
    path = tmp_path / "x.tflite"
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    model.buffers[2].data = None
    model.buffers[2].offset, model.buffers[2].size = len(data) + 10_000, 48
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    with pytest.raises(ArtifactError, match=r"buffer 2 ends at byte"):
        read_tflite(path)
