"""Merging explicit zeros into the max-pool that reads them. Only ONNX pools can have such padding.

A pool's own padding is never the maximum. Explicit zeros are the maximum only where all other
values are negative. So both give the same behind a ReLU, in windows that hold at least one value.
TFLite and Keras have no padding of pools but ``SAME``, which puts its zeros elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx
from onnx import numpy_helper

NAME = "merge_pool_padding"


def merge_pool_padding(model: onnx.ModelProto) -> int:
    """Drop every zero padding that only max-pools read, behind an operator without negative output.

    Args:
        model: Opset 13 or later. It is changed in place.

    Returns:
        The number of paddings dropped.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    writers = {name: node for node in graph.node for name in node.output}
    outputs = {value.name for value in graph.output}
    merged = []
    for pad in graph.node:
        zeros = _spatial_zeros(pad, constants)
        readers = [node for node in graph.node if pad.output[0] in node.input]
        if zeros is None or not readers or pad.output[0] in outputs:
            continue
        source = writers.get(pad.input[0])
        if source is None or not _without_negatives(source, constants):
            continue
        if all(_can_take(reader, zeros) for reader in readers):
            for reader in readers:
                _take(reader, zeros)
                reader.input[0] = pad.input[0]
            merged.append(pad)
    for pad in merged:
        graph.node.remove(pad)
    _drop_unread(graph, {name for pad in merged for name in pad.input[1:]})
    return len(merged)


def _spatial_zeros(
    node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]
) -> tuple[int, int, int, int] | None:
    """Return the zeros before height and width, then behind them. None for any other operator."""
    if node.op_type != "Pad" or len(node.input) > 3 or node.input[1] not in constants:
        return None
    if _attribute(node, "mode", b"constant") != b"constant":
        return None
    if len(node.input) == 3 and node.input[2]:
        value = constants.get(node.input[2])
        if value is None or numpy_helper.to_array(value).any():
            return None
    pads = numpy_helper.to_array(constants[node.input[1]]).tolist()
    if len(pads) != 8 or min(pads) < 0 or pads[0] or pads[1] or pads[4] or pads[5]:
        return None
    return pads[2], pads[3], pads[6], pads[7]


def _without_negatives(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> bool:
    if node.op_type == "Clip":
        low = constants.get(node.input[1]) if len(node.input) > 1 else None
        return low is not None and float(numpy_helper.to_array(low)) >= 0
    return node.op_type in ("Relu", "Sigmoid", "Softmax")


def _can_take(node: onnx.NodeProto, zeros: tuple[int, int, int, int]) -> bool:
    """True if the zeros can be a max-pool's own padding: no window lies in the zeros alone."""
    if node.op_type != "MaxPool" or len(node.output) > 1:
        return False
    plain = (
        _attribute(node, "auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
        and not _attribute(node, "ceil_mode", 0)
        and set(_attribute(node, "dilations", [1, 1])) == {1}
        and not any(_attribute(node, "pads", [0]))
    )
    height, width = _attribute(node, "kernel_shape", [0, 0])
    return plain and max(zeros[0::2]) < height and max(zeros[1::2]) < width


def _take(node: onnx.NodeProto, zeros: tuple[int, int, int, int]) -> None:
    kept = [each for each in node.attribute if each.name not in ("pads", "auto_pad")]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute("pads", list(zeros))])


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:  # noqa: ANN401 - by name
    for attribute in node.attribute:
        if attribute.name == name:
            return onnx.helper.get_attribute_value(attribute)
    return default


def _drop_unread(graph: onnx.GraphProto, names: set[str]) -> None:
    read = {name for node in graph.node for name in node.input}
    for tensor in list(_of(graph, names - read)):
        graph.initializer.remove(tensor)


def _of(graph: onnx.GraphProto, names: set[str]) -> Iterator[onnx.TensorProto]:
    return (tensor for tensor in graph.initializer if tensor.name in names)
