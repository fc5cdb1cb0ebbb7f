"""ONNX nodes of operators with a kernel, and of pools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import TensorProto

from converters.errors import ModelConversionError
from converters.quantization.onnx_builder import Layout, OnnxBuilder
from converters.quantization.rounding import LEVELS, weight_scales
from converters.quantization.scheme import Scheme
from converters.quantization.tflite_network import DEPTHWISE, Operation, Parameters

_Options = Any
"""An operator's options, in the class that the TFLite schema generates."""

_MOST_BIAS = float(2**30)
"""Largest bias in integers, half of what 32 bits hold: products are added to it."""

_SAME = 0
"""The schema's number of the padding ``SAME``."""


@dataclass(frozen=True)
class Kernels:
    """The weights of a graph, and how they are stored."""

    parameters: Mapping[int, Parameters]
    scheme: Scheme | None
    """None stores all kernels as float."""

    def convolution(self, graph: OnnxBuilder, operation: Operation) -> None:
        """Add a convolution of any kind, with its activation."""
        options: _Options = operation.options
        parameters = self._parameters_of(operation)
        kernel, (source, zeros) = parameters.kernel, _without_padding(graph, operation)
        channels = graph.shape(source)[-1]
        window = tuple(int(size) for size in kernel.shape[:2])
        strides = (options.strideH, options.strideW)
        dilations = (options.dilationHFactor, options.dilationWFactor)
        is_depthwise = operation.kind == DEPTHWISE
        outputs = kernel.reshape(*window, 1, -1) if is_depthwise else kernel
        inputs = [
            graph.read(source, Layout.FIRST),
            *self._stored(graph, operation, outputs.transpose(3, 2, 0, 1), axis=0),
        ]
        groups = channels if is_depthwise else channels // kernel.shape[2]
        attributes = {
            "kernel_shape": window,
            "strides": strides,
            "dilations": dilations,
            "group": groups,
            "pads": _sum(
                zeros, _pads(graph, operation, window, strides, dilations, options.padding)
            ),
        }
        name = graph.node("Conv", inputs, graph.name(operation), attributes)
        if not self._is_integer(operation):
            name = _kept_float(graph, operation, name)
        finish(graph, operation, name, Layout.FIRST)

    def dense(self, graph: OnnxBuilder, operation: Operation) -> None:
        """Add a dense layer, with its activation. A float one is a product and a sum.

        A convolution that has only one position is a dense layer, too.
        """
        source, target, name = operation.inputs[0], operation.output, graph.name(operation)
        if operation.inputs[1] not in graph.network.constants:
            raise ModelConversionError(f"the kernel of layer {operation.layer!r} is computed")
        kernel = self._parameters_of(operation).kernel
        kernel = kernel.reshape(-1, kernel.shape[-1])
        values = graph.read(source)
        is_flat = graph.shape(source)[1:] == kernel.shape[:1]
        # A product takes any number of axes: a reshaping would hide that its factor is integer.
        is_product = not self._is_integer(operation) and graph.shape(source)[-1] == len(kernel)
        if not is_flat and not is_product:
            rows = graph.constant(np.array([-1, len(kernel)], np.int64), f"rows_{operation.index}")
            values = graph.node("Reshape", [values, rows], f"{name}_rows")
        stored = self._stored(graph, operation, kernel, axis=1)
        if self._is_integer(operation):
            values = graph.node("Gemm", [values, *stored], name)
        else:
            values = graph.node("MatMul", [values, stored[0]], f"{name}_product")
            values = graph.node("Add", [values, stored[1]], name)
        shape = graph.shape(target)
        if len(shape) != 2 or not is_flat:
            free = graph.constant(np.array([-1, *shape[1:]], np.int64), f"shape_{target}")
            values = graph.node("Reshape", [values, free], f"{name}_axes")
        finish(graph, operation, values)

    def transposed_convolution(self, graph: OnnxBuilder, operation: Operation) -> None:
        """Add a transposed convolution, in float."""
        options: _Options = operation.options
        kernel, source = graph.fixed(operation.inputs[1]), operation.inputs[2]
        window, strides = kernel.shape[1:3], (options.strideH, options.strideW)
        before, after = graph.shape(source)[1:3], graph.shape(operation.output)[1:3]
        whole = [
            (size - 1) * stride + extent
            for size, stride, extent in zip(before, strides, window, strict=True)
        ]
        surplus = [size - wanted for size, wanted in zip(whole, after, strict=True)]
        name = graph.name(operation)
        inputs = [
            graph.read(source, Layout.FIRST),
            graph.constant(kernel.transpose(3, 0, 1, 2), f"{name}_kernel"),
        ]
        if len(operation.inputs) > 3 and operation.inputs[3] >= 0:
            inputs.append(graph.read(operation.inputs[3]))
        start = [max(0, size) // 2 for size in surplus]
        end = [max(0, size) - first for size, first in zip(surplus, start, strict=True)]
        attributes = {
            "kernel_shape": window,
            "strides": strides,
            "pads": (*start, *end),
            "output_padding": tuple(max(0, -size) for size in surplus),
        }
        name = graph.node("ConvTranspose", inputs, name, attributes)
        finish(graph, operation, _kept_float(graph, operation, name), _FIRST)

    def _parameters_of(self, operation: Operation) -> Parameters:
        if operation.index not in self.parameters:
            raise ModelConversionError(f"the kernel of layer {operation.layer!r} is computed")
        return self.parameters[operation.index]

    def _is_integer(self, operation: Operation) -> bool:
        return self.scheme is not None and operation.index not in self.scheme.float_operations

    def _stored(
        self, graph: OnnxBuilder, operation: Operation, kernel: np.ndarray, axis: int
    ) -> list[str]:
        """Store kernel and bias. Return the names of their values.

        Args:
            graph: The graph.
            operation: The operator that they are of.
            kernel: In the layout of its ONNX node.
            axis: Axis of the output channels.
        """
        name, parameters = graph.name(operation), self.parameters[operation.index]
        kernel_name, bias_name = f"{name}_kernel", f"{name}_bias"
        grid = None if self.scheme is None else self.scheme.grid_of(graph.network, operation)
        if grid is None:
            return [
                graph.constant(kernel.astype(np.float32), kernel_name),
                graph.constant(parameters.bias.astype(np.float32), bias_name),
            ]
        steps = weight_scales(parameters.kernel, operation.kind, grid).numpy()
        if self._is_integer(operation):
            values = graph.roundings[operation.inputs[0]].step
            steps = np.maximum(steps, np.abs(parameters.bias) / (values * _MOST_BIAS))
        steps = steps.astype(np.float32)
        shape = [-1 if place == axis else 1 for place in range(kernel.ndim)]
        integers = np.clip(np.rint(kernel / steps.reshape(shape)), -LEVELS, LEVELS).astype(np.int8)
        if not self._is_integer(operation):
            if operation.inputs[0] in graph.roundings:
                wide = _widened(graph, integers, steps, axis, kernel_name)
            else:
                wide = _scaled(graph, integers, steps.reshape(shape), kernel_name)
            return [wide, graph.constant(parameters.bias.astype(np.float32), bias_name)]
        wide = _widened(graph, integers, steps, axis, kernel_name)
        sums = (values * steps).astype(np.float32)
        bias = np.rint(parameters.bias.astype(np.float64) / sums).astype(np.int32)
        return [wide, _widened(graph, bias, sums, 0, bias_name)]


_FIRST = Layout.FIRST


def pool(graph: OnnxBuilder, operation: Operation) -> None:
    """Add a max-pool or an average-pool."""
    options: _Options = operation.options
    window = (options.filterHeight, options.filterWidth)
    strides = (options.strideH, options.strideW)
    source, zeros = _without_padding(graph, operation)
    pads = _sum(zeros, _pads(graph, operation, window, strides, (1, 1), options.padding))
    attributes = {"kernel_shape": window, "strides": strides, "pads": pads}
    name = graph.name(operation)
    if operation.kind == "MAX_POOL_2D" and operation.activation == "NONE":
        moved = replace(operation, inputs=(source, *operation.inputs[1:]))
        graph.move(
            moved,
            (_FIRST, _FIRST),
            lambda values, _: graph.node("MaxPool", [values], name, attributes),
        )
        return
    kind = "MaxPool" if operation.kind == "MAX_POOL_2D" else "AveragePool"
    values = graph.read(source, _FIRST)
    finish(graph, operation, graph.node(kind, [values], name, attributes), _FIRST)


def finish(
    graph: OnnxBuilder, operation: Operation, name: str, layout: Layout = Layout.LAST
) -> None:
    """Write an operator's output, after its fused activation.

    A rounded output needs no activation that its range implies: integers end where the range ends.
    """
    rounding = graph.roundings.get(operation.output)
    low, high = _BOUNDS[operation.activation]
    implied = rounding is not None and rounding.span.low >= low and rounding.span.high <= high
    if operation.activation == "TANH":
        name = graph.node("Tanh", [name], f"{name}_tanh")
    elif operation.activation == "RELU" and not implied:
        name = graph.node("Relu", [name], f"{name}_relu")
    elif operation.activation != "NONE" and not implied:
        ends = [graph.constant(np.array(end, np.float32), f"end_{end:g}") for end in (low, high)]
        name = graph.node("Clip", [name, *ends], f"{name}_clip")
    graph.write(operation.output, name, layout)


_BOUNDS = {
    "NONE": (-np.inf, np.inf),
    "RELU": (0.0, np.inf),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
    "TANH": (-np.inf, np.inf),
}


def _kept_float(graph: OnnxBuilder, operation: Operation, name: str) -> str:
    """Put a leaky ReLU of slope 1, which changes no value, between a float kernel and a rounding.

    Without it, onnxruntime makes integers of float weights between rounded tensors, with one step
    for all channels and no regard to what saturates (``WeightBiasQuantization``). The activation is
    fused into the kernel, so it takes no time.
    """
    if operation.output not in graph.roundings:
        return name
    return graph.node("LeakyRelu", [name], f"{name}_float", {"alpha": 1.0})


def _widened(
    graph: OnnxBuilder, integers: np.ndarray, steps: np.ndarray, axis: int, name: str
) -> str:
    """Store integers with a step per channel. Return the name of their values."""
    parts = [
        graph.constant(integers, f"{name}_integers"),
        graph.constant(steps, f"{name}_steps"),
        graph.constant(np.zeros(len(steps), integers.dtype), f"{name}_zeros"),
    ]
    return graph.node("DequantizeLinear", parts, name, {"axis": axis})


def _scaled(graph: OnnxBuilder, integers: np.ndarray, steps: np.ndarray, name: str) -> str:
    """Store integers that no operator multiplies. The runtime scales them once, when it loads."""
    stored = graph.constant(integers, f"{name}_integers")
    wide = graph.node("Cast", [stored], f"{name}_wide", {"to": TensorProto.FLOAT})
    return graph.node("Mul", [wide, graph.constant(steps, f"{name}_steps")], name)


_NO_ZEROS = (0, 0, 0, 0)


def _without_padding(graph: OnnxBuilder, operation: Operation) -> tuple[int, tuple[int, ...]]:
    """Return the tensor before the zero padding that an operator reads, and the zeros.

    A convolution takes explicit zeros as its own. So does a max-pool of integers if zero is the
    smallest of them, in windows that hold at least one value.
    """
    source, nothing = operation.inputs[0], (operation.inputs[0], _NO_ZEROS)
    pad = graph.network.writers.get(source)
    if pad is None or pad.kind != "PAD" or pad.inputs[1] not in graph.network.constants:
        return nothing
    pairs = graph.fixed(pad.inputs[1]).reshape(-1, 2)
    if len(pairs) != 4 or pairs[[0, 3]].any() or pairs.min() < 0:
        return nothing
    before, after = (graph.roundings.get(tensor) for tensor in (pad.inputs[0], source))
    if after is not None and (before is None or not before.is_like(after)):
        return nothing
    zeros = tuple(int(size) for size in (*pairs[1:3, 0], *pairs[1:3, 1]))
    if operation.kind == "AVERAGE_POOL_2D":
        return nothing
    if operation.kind == "MAX_POOL_2D":
        options: _Options = operation.options
        smallest = min(options.filterHeight, options.filterWidth)
        if after is None or after.span.low < 0 or max(zeros) >= smallest:
            return nothing
    return pad.inputs[0], zeros


def _sum(zeros: tuple[int, ...], others: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(one + other for one, other in zip(zeros, others, strict=True))


def _pads(
    graph: OnnxBuilder,
    operation: Operation,
    window: tuple[int, ...],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    padding: int,
) -> tuple[int, ...]:
    """Return the zeros at top, left, bottom and right."""
    if padding != _SAME:
        return _NO_ZEROS
    before, after = graph.shape(operation.inputs[0])[1:3], graph.shape(operation.output)[1:3]
    total = [
        max(0, (after[i] - 1) * strides[i] + (window[i] - 1) * dilations[i] + 1 - before[i])
        for i in (0, 1)
    ]
    return (total[0] // 2, total[1] // 2, total[0] - total[0] // 2, total[1] - total[1] // 2)
