"""Matching of a TFLite network with the ONNX graph of the same model: tensors and weights.

Converters choose names and layouts of tensors, but the values are the same. So tensors are matched
by their values on one picture. A kernel is replaced only if it is equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from converters.errors import ModelConversionError
from converters.quantization.tensorflow_execution import (
    constant_weights,
    run,
    unknown_operations,
)
from converters.quantization.tensorflow_operators import Tensor
from converters.quantization.tflite_network import DEPTHWISE, Operation, Parameters, TfliteNetwork

_TOLERANCE = 1e-3  # relative to a tensor's largest value; runtimes differ by 1e-5
_PASSING = frozenset({"Clip", "Relu", "Reshape", "Squeeze", "Transpose"})


@dataclass(frozen=True)
class Kernel:
    """Place of an operator's weights in an ONNX graph."""

    node: onnx.NodeProto
    """The Conv, MatMul or Gemm."""
    weight: str
    """Name of its initializer."""
    axis: int
    """Axis of the output channels."""
    bias: tuple[onnx.NodeProto, int] | None
    """The node that adds the bias, and the number of its input; None if there is no bias."""


def match_tensors(
    model: onnx.ModelProto, network: TfliteNetwork, picture: np.ndarray
) -> Mapping[int, tuple[str, ...]]:
    """Return the names of ONNX tensors equal to each tensor of the network, by its index.

    Args:
        model: The float32 model, channels first or last.
        network: The same network as read from the float32 TFLite file.
        picture: uint8 ``(height, width, 3)``. It needs contrast to tell tensors apart.

    Raises:
        ModelConversionError: The network has an operator that cannot be simulated.
    """
    if unknown := unknown_operations(network):
        raise ModelConversionError(
            "int8.onnx: its tensors are told apart by computing them, and "
            f"{', '.join(unknown)} cannot be simulated; leave int8.onnx out with --formats"
        )
    batch = np.asarray(picture, np.float32)[np.newaxis]
    theirs = dict(_activations(model, batch))
    ours: dict[int, np.ndarray] = {}

    def observe(operation: Operation, output: Tensor) -> Tensor:
        ours[operation.output] = np.asarray(output)
        return output

    run(network, constant_weights(network), batch, observe)
    by_size: dict[int, list[str]] = {}
    for name, values in theirs.items():
        by_size.setdefault(values.size, []).append(name)
    return {
        tensor: tuple(name for name in by_size.get(values.size, ()) if _same(values, theirs[name]))
        for tensor, values in ours.items()
    }


def find_kernel(
    model: onnx.ModelProto, network: TfliteNetwork, operation: Operation, names: tuple[str, ...]
) -> Kernel:
    """Find an operator's weights.

    Args:
        model: The float32 model.
        network: The graph that ``operation`` is of.
        operation: An operator with a kernel.
        names: The ONNX tensors that hold its output.

    Raises:
        ModelConversionError: No node with this kernel makes such a tensor.
    """
    made_by = {name: node for node in model.graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    parameters = network.parameters[operation.index]
    for name in names:
        node, bias = made_by.get(name), None
        while node is not None and node.op_type not in ("Conv", "Gemm", "MatMul"):
            adds = [i for i, source in enumerate(node.input) if source in constants]
            if node.op_type == "Add" and adds and bias is None:
                bias = (node, adds[0])
                node = made_by.get(node.input[1 - adds[0]])
            elif node.op_type in _PASSING:
                node = made_by.get(node.input[0])
            else:
                node = None
        if node is None or node.input[1] not in constants:
            continue
        if node.op_type != "MatMul" and len(node.input) > 2:
            bias = (node, 2)
        kernel = numpy_helper.to_array(constants[node.input[1]])
        if np.array_equal(kernel, _laid_out(node, operation, parameters.kernel)):
            return Kernel(node, node.input[1], _axis(node), bias)
    raise ModelConversionError(
        f"int8.onnx: the kernel of layer {operation.layer!r} is not found in fp32.onnx, so the two "
        "int8 files would differ; leave int8.onnx out with --formats"
    )


def replace_parameters(
    model: onnx.ModelProto, kernel: Kernel, operation: Operation, parameters: Parameters
) -> str:
    """Give a node other weights and return their name. Other readers keep the old initializer."""
    values = _laid_out(kernel.node, operation, parameters.kernel)
    weight = _replace_input(model, kernel.node, 1, values)
    if kernel.bias is not None:
        node, place = kernel.bias
        _replace_input(model, node, place, parameters.bias)
    elif kernel.node.op_type == "Conv":
        name = f"{kernel.node.name}_bias"
        model.graph.initializer.append(numpy_helper.from_array(parameters.bias, name))
        kernel.node.input.append(name)
    elif np.any(parameters.bias):
        _add_bias(model, kernel.node, parameters.bias)
    return weight


def _add_bias(model: onnx.ModelProto, node: onnx.NodeProto, bias: np.ndarray) -> None:
    """Add a sum after a product. The converter left it out because the bias was zero."""
    result, product, name = node.output[0], f"{node.output[0]}_product", f"{node.name}_bias"
    node.output[0] = product
    model.graph.initializer.append(numpy_helper.from_array(bias, name))
    add = helper.make_node("Add", [product, name], [result], f"{node.name}_add_bias")
    model.graph.node.insert(list(model.graph.node).index(node) + 1, add)


def store_in_8_bits(model: onnx.ModelProto, kernel: Kernel, steps: np.ndarray) -> None:
    """Store a float node's kernel as int8 with a scale per output channel."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    name = kernel.node.input[1]
    values = numpy_helper.to_array(constants[name])
    shape = [-1 if axis == kernel.axis else 1 for axis in range(values.ndim)]
    integers = np.clip(np.rint(values / steps.reshape(shape)), -127, 127).astype(np.int8)
    constants[name].CopyFrom(numpy_helper.from_array(integers, name))
    scale, zero = f"{name}_step", f"{name}_zero"
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(steps.astype(np.float32), scale),
            numpy_helper.from_array(np.zeros(len(steps), np.int8), zero),
        ]
    )
    wide = f"{name}_float"
    widen = helper.make_node(
        "DequantizeLinear", [name, scale, zero], [wide], f"{name}_widen", axis=kernel.axis
    )
    kernel.node.input[1] = wide
    model.graph.node.insert(list(model.graph.node).index(kernel.node), widen)


def _activations(model: onnx.ModelProto, batch: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and values of every tensor that a node computes, for one picture."""
    open_model = onnx.ModelProto()
    open_model.CopyFrom(model)
    names = [name for node in model.graph.node for name in node.output if name]
    known = {output.name for output in model.graph.output}
    open_model.graph.output.extend(
        helper.make_empty_tensor_value_info(name) for name in names if name not in known
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        open_model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    outputs = [output.name for output in session.get_outputs()]
    results = session.run(outputs, {model.graph.input[0].name: batch})
    for name, values in zip(outputs, results, strict=True):
        if isinstance(values, np.ndarray) and values.dtype == np.float32:
            yield name, values


def _same(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """True if two tensors hold the same values, with channels last or first."""
    largest = float(np.abs(ours).max(initial=0.0))
    layouts = [theirs]
    if theirs.ndim == 4:
        layouts.append(theirs.transpose(0, 2, 3, 1))
    for layout in layouts:
        squeezed = [size for size in layout.shape if size > 1]
        if squeezed == [size for size in ours.shape if size > 1]:
            difference = np.abs(layout.reshape(ours.shape) - ours)
            if bool((difference <= _TOLERANCE * largest + 1e-6).all()):
                return True
    return False


def _laid_out(node: onnx.NodeProto, operation: Operation, kernel: np.ndarray) -> np.ndarray:
    """Return a kernel in the layout that a node expects."""
    if node.op_type == "Conv":
        if operation.kind == DEPTHWISE:
            height, width = kernel.shape[:2]
            outputs: np.ndarray = kernel.reshape(height, width, 1, -1).transpose(3, 2, 0, 1)
            return outputs
        return kernel.transpose(3, 2, 0, 1)
    swapped = any(a.name == "transB" and a.i for a in node.attribute)
    return kernel.T if swapped else kernel


def _axis(node: onnx.NodeProto) -> int:
    swapped = any(a.name == "transB" and a.i for a in node.attribute)
    return 0 if node.op_type == "Conv" or swapped else 1


def _replace_input(
    model: onnx.ModelProto, node: onnx.NodeProto, place: int, values: np.ndarray
) -> str:
    old = node.input[place]
    name = f"{old}_of_{node.name}"
    model.graph.initializer.append(
        numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name)
    )
    node.input[place] = name
    if not any(old in other.input for other in model.graph.node):
        (unread,) = [tensor for tensor in model.graph.initializer if tensor.name == old]
        model.graph.initializer.remove(unread)
    return name
