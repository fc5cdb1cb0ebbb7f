from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from resnet_edge.errors import ArtifactError
from resnet_edge.inspection.contents import Count, Endpoint, WeightGroup
from resnet_edge.inspection.onnx import read_onnx
from resnet_edge.ondevice.formats.kinds import Quantization

MakeOnnx = Callable[[str], onnx.ModelProto]


@pytest.fixture
def write(tmp_path: Path, make_onnx: MakeOnnx) -> Callable[..., Path]:
    def write_kind(kind: str, **properties: str) -> Path:
        model = make_onnx(kind)
        helper.set_model_props(model, properties)
        path = tmp_path / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return write_kind


@pytest.mark.parametrize(
    ("kind", "quantization", "weights"),
    [
        ("float32", Quantization.NONE.value, WeightGroup("float32", "not quantized", 1, 12)),
        (
            "float16",
            Quantization.FLOAT16_WEIGHTS.value,
            WeightGroup("float16", "not quantized", 1, 12),
        ),
        ("static", Quantization.STATIC.value, WeightGroup("int8", "per-channel", 1, 12)),
        (
            "int16x8",
            "static: int8 weights, int16 activations, float softmax",
            WeightGroup("int8", "per-channel", 1, 12),
        ),
    ],
)
def test_quantization_is_read_from_the_graph(
    write: Callable[..., Path], kind: str, quantization: str, weights: WeightGroup
) -> None:
    contents = read_onnx(write(kind))
    assert contents.quantization == quantization
    assert contents.weights == (weights,)


def test_weight_only(write: Callable[..., Path]) -> None:
    contents = read_onnx(write("weight only"))
    assert contents.quantization == "weight only: int8 weights, float32 activations"


def test_dynamic_range(tmp_path: Path) -> None:
    kernel = helper.make_tensor("kernel", onnx.TensorProto.INT8, [4, 3], list(range(12)))
    graph = helper.make_graph(
        [
            helper.make_node("DynamicQuantizeLinear", ["image"], ["q", "scale", "zero"]),
            helper.make_node("MatMulInteger", ["q", "kernel", "zero"], ["sums"]),
            helper.make_node("Cast", ["sums"], ["logits"], to=onnx.TensorProto.FLOAT),
        ],
        "tiny",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [1, 3])],
        [kernel],
    )
    opsets = [helper.make_opsetid("", 17)]
    path = tmp_path / "dynamic.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    contents = read_onnx(path)
    assert contents.quantization == Quantization.DYNAMIC.value
    assert contents.weights == (WeightGroup("int8", "per-tensor", 1, 12),)


def test_endpoints_operators_labels_and_metadata(
    write: Callable[..., Path], labels: tuple[str, ...]
) -> None:
    path = write("static", labels=json.dumps(labels), name="pets", preprocessing="caffe, inside")
    contents = read_onnx(path)
    assert contents.inputs == (Endpoint("image", "float32", (None, 4)),)
    assert contents.outputs == (Endpoint("probabilities", "float32", (None, 3)),)
    assert contents.operators == (
        Count("DequantizeLinear", 2),
        Count("MatMul", 1),
        Count("QuantizeLinear", 1),
        Count("Softmax", 1),
    )
    assert contents.labels == labels
    assert contents.model_name == "pets"
    assert contents.metadata["preprocessing"] == "caffe, inside"
    assert contents.metadata["opset"] == "ai.onnx 17"


def test_a_quantized_output_has_its_scale(tmp_path: Path, make_onnx: MakeOnnx) -> None:
    model = make_onnx("static")
    model.graph.node.append(
        helper.make_node("QuantizeLinear", ["probabilities", "scale", "zero"], ["levels"])
    )
    del model.graph.output[:]
    model.graph.output.append(
        helper.make_tensor_value_info("levels", onnx.TensorProto.UINT8, ["batch", 3])
    )
    path = tmp_path / "full.onnx"
    onnx.save(model, path)
    contents = read_onnx(path)
    assert contents.outputs == (Endpoint("levels", "uint8", (None, 3), 0.5, 0),)
    assert contents.quantization == Quantization.INTEGER_ONLY.value


def test_without_properties_there_are_no_labels(write: Callable[..., Path]) -> None:
    contents = read_onnx(write("float32"))
    assert contents.labels is None
    assert contents.model_name == "tiny"


@pytest.mark.parametrize("text", ["cat, dog", '{"0": "cat"}', "[1, 2]"])
def test_labels_of_another_shape(write: Callable[..., Path], text: str) -> None:
    path = write("float32", labels=text)
    with pytest.raises(ArtifactError) as problem:
        read_onnx(path)
    assert str(problem.value) == (
        f"{path}: metadata 'labels' is {text!r}; expected a JSON list of names; export it again"
    )


@pytest.mark.parametrize("data", [b"hello, I am no model", b"\n", b"\x08\x0a"])
def test_garbage_is_no_onnx_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(data)
    with pytest.raises(
        ArtifactError, match=r"x.onnx: truncated or damaged ONNX file, or newer than"
    ):
        read_onnx(path)


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(share=st.floats(0, 1, exclude_max=True))
def test_every_truncation_is_found(tmp_path: Path, make_onnx: MakeOnnx, share: float) -> None:
    # Without metadata at its end: what is cut off there leaves a valid file; only a sidecar tells.
    data = make_onnx("static").SerializeToString()
    path = tmp_path / "x.onnx"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ArtifactError, match="truncated or damaged ONNX file"):
        read_onnx(path)


def test_a_graph_with_a_hole_is_refused(tmp_path: Path, make_onnx: MakeOnnx) -> None:
    model = make_onnx("float32")
    del model.graph.initializer[:]
    path = tmp_path / "x.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ArtifactError, match=r"expected a model that the ONNX checker takes"):
        read_onnx(path)
