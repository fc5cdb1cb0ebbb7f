"""A dense head in integers gives what the float product of the same integers gives."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from converters.quantization.onnx_integer_head import multiply_in_integers


def graph_of(
    kernel: np.ndarray, steps: np.ndarray, zero: np.generic, *, axis: int = 1
) -> onnx.ModelProto:
    """Integers in, dequantized, times a dequantized kernel."""
    constants = {
        "step": np.float32(0.5),
        "zero": np.asarray(zero),
        "kernel": kernel,
        "steps": steps.astype(np.float32),
        "zeros": np.zeros(len(steps), np.int8),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "step", "zero"], ["wide"]),
        helper.make_node("DequantizeLinear", ["kernel", "steps", "zeros"], ["widened"], axis=axis),
        helper.make_node("MatMul", ["wide", "widened"], ["y"], "product"),
    ]
    kind = TensorProto.INT8 if zero.dtype == np.int8 else TensorProto.UINT8
    graph = helper.make_graph(
        nodes,
        "head",
        [helper.make_tensor_value_info("x", kind, [None, len(kernel)])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, kernel.shape[1]])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def answer(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    result: np.ndarray = session.run(None, {"x": x})[0]
    return result


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), inputs=st.integers(1, 70), classes=st.integers(2, 40))
def test_the_same_product(dtype, seed, inputs, classes):
    generator = np.random.default_rng(seed)
    limits = np.iinfo(dtype)
    x = generator.integers(limits.min, limits.max, (3, inputs), dtype, endpoint=True)
    kernel = generator.integers(-127, 127, (inputs, classes), np.int8, endpoint=True)
    steps = generator.uniform(0.001, 1, classes).astype(np.float32)
    zero = generator.integers(limits.min, limits.max, (), dtype, endpoint=True)
    model = graph_of(kernel, steps, zero)
    assert multiply_in_integers(model) == 1
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == ["MatMulInteger", "Cast", "Mul"]
    expected = (x.astype(np.float64) - float(zero)) * 0.5 @ (kernel * steps.astype(np.float64))
    np.testing.assert_allclose(answer(model, x), expected, rtol=1e-5, atol=1e-3)


def test_uint8_factors_never_saturate():
    """All at their largest, where a sum of two products overflows 16 bits."""
    model = graph_of(np.full((64, 2), 127, np.int8), np.ones(2), np.uint8(0))
    multiply_in_integers(model)
    assert answer(model, np.full((1, 64), 255, np.uint8)).tolist() == [[0.5 * 64 * 255 * 127] * 2]
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert kinds["y_kernel"] == TensorProto.UINT8


def test_what_is_left_alone():
    by_row = graph_of(np.ones((3, 2), np.int8), np.ones(3), np.uint8(0), axis=0)
    assert multiply_in_integers(by_row) == 0
    float_values = graph_of(np.ones((3, 2), np.int8), np.ones(2), np.uint8(0))
    del float_values.graph.node[0]
    float_values.graph.node[1].input[0] = "x"
    before = float_values.SerializeToString()
    assert multiply_in_integers(float_values) == 0
    assert [node.op_type for node in float_values.graph.node] == ["DequantizeLinear", "MatMul"]
    assert len(before) > len(float_values.SerializeToString())  # what nothing reads is gone
