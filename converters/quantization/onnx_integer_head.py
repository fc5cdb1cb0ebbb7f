"""Integer multiplication in the dense head of a quantized ONNX graph.

The logits are not rounded, so onnxruntime's quantizer leaves a float product of a dequantized
kernel. It converts all weights to float in every inference: a sixth of the time of a ResNet50 with
1000 classes. Both factors are integers with steps, so the same product is an exact sum of integers,
scaled at the end. That is ``MatMulInteger``, for which runtimes have fast kernels.
"""

from __future__ import annotations

from typing import TypeGuard

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MIDDLE = 128
"""Zero point of a kernel stored as uint8. With two uint8 factors no x86 kernel saturates."""


def multiply_in_integers(model: onnx.ModelProto) -> int:
    """Turn float products of a dequantized tensor and a dequantized constant into integer products.

    Args:
        model: A quantized graph (QDQ). It is changed in place. Products whose kernel has a step per
            row, or whose first factor is no integer, stay as they are.

    Returns:
        The number of products changed.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    found = 0
    for node in [node for node in graph.node if node.op_type == "MatMul"]:
        values, kernel = (makers.get(name) for name in node.input)
        if _is_widened(values) and _is_widened(kernel) and kernel.input[0] in constants:
            steps, stored = constants[kernel.input[1]], constants[kernel.input[0]]
            if list(steps.dims) in ([], list(stored.dims[1:])):
                _replace(graph, node, values, kernel, constants)
                found += 1
    _drop_unread(graph)
    return found


def _is_widened(node: onnx.NodeProto | None) -> TypeGuard[onnx.NodeProto]:
    """True if a node turns integers into floats."""
    return node is not None and node.op_type == "DequantizeLinear"


def _replace(
    graph: onnx.GraphProto,
    node: onnx.NodeProto,
    values: onnx.NodeProto,
    kernel: onnx.NodeProto,
    constants: dict[str, onnx.TensorProto],
) -> None:
    step = numpy_helper.to_array(constants[values.input[1]])
    signed = constants[values.input[2]].data_type == TensorProto.INT8
    integers = numpy_helper.to_array(constants[kernel.input[0]])
    zero = np.int8(0) if signed else np.uint8(MIDDLE)
    stored = integers if signed else (integers.astype(np.int16) + MIDDLE).astype(np.uint8)
    steps = step * numpy_helper.to_array(constants[kernel.input[1]])
    name = node.output[0]
    added = {"kernel": stored, "zero": np.asarray(zero), "step": steps.astype(np.float32)}
    graph.initializer.extend(
        numpy_helper.from_array(array, f"{name}_{part}") for part, array in added.items()
    )
    factors = [values.input[0], f"{name}_kernel", values.input[2], f"{name}_zero"]
    nodes = (
        helper.make_node("MatMulInteger", factors, [f"{name}_sum"], f"{name}_sum"),
        helper.make_node("Cast", [f"{name}_sum"], [f"{name}_wide"], f"{name}_wide", to=1),
        helper.make_node("Mul", [f"{name}_wide", f"{name}_step"], [name], f"{name}_scaled"),
    )
    place = list(graph.node).index(node)
    graph.node.remove(node)
    for offset, new in enumerate(nodes):
        graph.node.insert(place + offset, new)


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Remove nodes and constants that nothing reads any more."""
    answers = {output.name for output in graph.output}
    while True:
        read = answers | {name for node in graph.node for name in node.input}
        unread = [node for node in graph.node if read.isdisjoint(node.output)]
        if not unread:
            break
        for node in unread:
            graph.node.remove(node)
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)
