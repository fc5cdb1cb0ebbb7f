"""Zeros become a max-pool's own where that is the same, in onnxruntime's answers too."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from converters.onnx.pool_padding import merge_pool_padding

POOL = {"kernel_shape": [3, 3], "strides": [2, 2]}


def model_of(
    *nodes: onnx.NodeProto, pads: list[int] | None = None, value: float = 0.0, **constants: object
) -> onnx.ModelProto:
    """``x`` to ``y``: one picture of two channels, 8x9."""
    pads = pads or [0, 0, 1, 1, 0, 0, 1, 1]
    arrays = {"pads": np.int64(pads), "value": np.float32(value), **constants}
    graph = helper.make_graph(
        list(nodes),
        "pool",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 8, 9])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, list("nchw"))],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def node(operator: str, *names: str, **attributes: object) -> onnx.NodeProto:
    *inputs, output = names
    return helper.make_node(operator, inputs, [output], **attributes)


RELU = node("Relu", "x", "r")
PAD = node("Pad", "r", "pads", "value", "p")
EDGE = node("Pad", "r", "pads", "value", "p", mode="edge")


def answer(model: onnx.ModelProto) -> np.ndarray:
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = np.random.default_rng(0).normal(size=(1, 2, 8, 9)).astype(np.float32)
    return session.run(None, {"x": x})[0]


def merged(model: onnx.ModelProto) -> onnx.ModelProto:
    """Merge; the answers stay, to the bit."""
    before = answer(model)
    assert merge_pool_padding(model) == 1
    np.testing.assert_array_equal(answer(model), before)
    return model


@given(
    before=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    behind=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    stride=st.integers(1, 3),
)
@settings(max_examples=40, deadline=None)
def test_zeros_behind_a_relu(before, behind, stride) -> None:
    pads = [0, 0, *before, 0, 0, *behind]
    pool = node("MaxPool", "p", "y", kernel_shape=[3, 3], strides=[stride, stride])
    model = merged(model_of(RELU, PAD, pool, pads=pads))
    assert [each.op_type for each in model.graph.node] == ["Relu", "MaxPool"]
    assert not model.graph.initializer


def test_zeros_behind_a_clip() -> None:
    clip = node("Clip", "x", "low", "high", "r")
    limits = {"low": np.float32(0), "high": np.float32(6)}
    merged(model_of(clip, PAD, node("MaxPool", "p", "y", **POOL), **limits))
    below = {**limits, "low": np.float32(-1)}
    assert not merge_pool_padding(model_of(clip, PAD, node("MaxPool", "p", "y", **POOL), **below))


def test_a_constant_that_others_read_stays() -> None:
    tail = (node("MaxPool", "p", "q", **POOL), node("Add", "q", "value", "y"))
    model = merged(model_of(RELU, PAD, *tail))
    assert [tensor.name for tensor in model.graph.initializer] == ["value"]


@pytest.mark.parametrize(
    ("nodes", "options"),
    [
        ((PAD, node("MaxPool", "p", "y", **POOL)), {"value": 1.0}),
        ((PAD, node("MaxPool", "p", "y", **POOL)), {"pads": [0, 1, 1, 1, 0, 0, 1, 1]}),
        ((PAD, node("MaxPool", "p", "y", **POOL)), {"pads": [0, 0, 3, 1, 0, 0, 1, 1]}),
        ((PAD, node("MaxPool", "p", "y", **POOL)), {"pads": [0, 0, -1, 1, 0, 0, 1, 1]}),
        ((PAD, node("MaxPool", "p", "y", ceil_mode=1, **POOL)), {}),
        ((PAD, node("MaxPool", "p", "y", pads=[1, 1, 1, 1], **POOL)), {}),
        ((PAD, node("MaxPool", "p", "y", dilations=[2, 2], **POOL)), {}),
        ((PAD, node("MaxPool", "p", "y", auto_pad="SAME_UPPER", **POOL)), {}),
        ((PAD, node("AveragePool", "p", "y", **POOL)), {}),
        ((PAD, node("MaxPool", "p", "m", **POOL), node("Size", "p", "s")), {}),
        (
            (
                node("Pad", "r", "pads", "value", "p", mode="edge"),
                node("MaxPool", "p", "y", **POOL),
            ),
            {},
        ),
        ((node("Pad", "r", "pads", "value", "y"),), {}),
        ((node("Pad", "x", "pads", "value", "p"), node("MaxPool", "p", "y", **POOL)), {}),
    ],
)
def test_anything_else_stays(nodes, options) -> None:
    model = model_of(RELU, *nodes, **options)
    before = model.SerializeToString(deterministic=True)
    assert merge_pool_padding(model) == 0
    assert model.SerializeToString(deterministic=True) == before
