"""fp16.onnx: near Keras, half the size; small probabilities and large activations survive."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters.errors import ModelConversionError
from converters.onnx import conversion as to_onnx
from converters.onnx.float16 import convert_float16


def classify(model: onnx.ModelProto, pictures: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        to_onnx.serialize(model), options, providers=["CPUExecutionProvider"]
    )
    return session.run(["probabilities"], {"image": pictures})[0]


@pytest.fixture(scope="module")
def float16(tiny) -> onnx.ModelProto:
    return convert_float16(tiny.onnx_float32)


def test_float16_is_near_and_half_the_size(tiny, float16: onnx.ModelProto) -> None:
    pictures = tiny.pictures.astype(np.float32)
    np.testing.assert_allclose(classify(float16, pictures), tiny.expected, atol=5e-3)
    kinds = {tensor.data_type for tensor in float16.graph.initializer if len(tensor.dims) > 1}
    assert kinds == {TensorProto.FLOAT16}
    assert float16.ByteSize() < 0.6 * tiny.onnx_float32.ByteSize()


def test_float16_leaves_its_source_alone(tiny) -> None:
    before = to_onnx.serialize(tiny.onnx_float32)
    convert_float16(tiny.onnx_float32)
    assert to_onnx.serialize(tiny.onnx_float32) == before


def test_float16_nodes_stand_in_order(float16: onnx.ModelProto) -> None:
    known = {value.name for value in float16.graph.input}
    known |= {tensor.name for tensor in float16.graph.initializer} | {""}
    for node in float16.graph.node:
        assert known.issuperset(node.input)
        known.update(node.output)


def small(*nodes: onnx.NodeProto, **constants: np.ndarray) -> onnx.ModelProto:
    """A model of these nodes: ``image`` in, ``probabilities`` out."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 4, 4, 3])
    answer = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 2])
    stored = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    graph = helper.make_graph(list(nodes), "small", [image], [answer], stored)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", to_onnx.OPSET)], ir_version=8
    )


def node(kind: str, *inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs), [output], output, **attributes)


MEAN = (
    node("ReduceMean", "image", output="means", axes=[1, 2], keepdims=0),
    node("MatMul", "means", "kernel", output="logits"),
    node("Softmax", "logits", output="probabilities", axis=1),
)


def test_small_probabilities_survive() -> None:
    kernel = np.array([[0.1, 0], [0, 0], [0, 0]], np.float32)
    model = convert_float16(small(*MEAN, kernel=kernel))
    answer = classify(model, np.full((1, 4, 4, 3), 250, np.float32))
    # exp(-25) is 1.4e-11; float16 ends at 6e-8. The kernel 0.1 is 0.09998 in float16.
    np.testing.assert_allclose(answer, [[1, np.exp(-24.994)]], rtol=1e-3)


def test_values_beyond_float16_stay_float32() -> None:
    """255 squared is 65,025, and three of them are more than 65,504."""
    model = small(
        node("Mul", "image", "image", output="squares"),
        node("ReduceSum", "squares", "axis", output="sums", keepdims=1),
        node("Sqrt", "sums", output="lengths"),
        node("Mul", "image", "lengths", output="long"),
        node("Mul", "long", "small", output="scaled"),
        node("ReduceMean", "scaled", output="means", axes=[1, 2], keepdims=0),
        *MEAN[1:],
        axis=np.array([3]),
        small=np.array(1e-5, np.float32),
        kernel=np.array([[1, 0], [0, 0], [0, 0]], np.float32),
    )
    pictures = np.full((1, 4, 4, 3), 250, np.float32)
    expected, actual = classify(model, pictures), classify(convert_float16(model), pictures)
    np.testing.assert_allclose(actual, expected, atol=1e-3)


def test_values_that_are_not_finite_are_refused() -> None:
    log = node("Log", "image", output="logs")  # of black
    means = node("ReduceMean", "logs", output="means", axes=[1, 2], keepdims=0)
    kernel = np.ones((3, 2), np.float32)
    with pytest.raises(ModelConversionError) as caught:
        convert_float16(small(log, means, *MEAN[1:], kernel=kernel))
    assert str(caught.value) == (
        "fp16.onnx: 'probabilities' is NaN or infinite in float32 on a test picture; expected "
        "finite answers; check the model's weights and the float32 artifacts first"
    )
