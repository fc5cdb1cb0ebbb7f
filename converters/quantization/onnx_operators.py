"""ONNX nodes of TFLite operators that compute without a kernel: one row of ``OPERATORS`` each.

Values of four axes keep the layout that they have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from converters.quantization.onnx_builder import Layout, OnnxBuilder
from converters.quantization.onnx_kernels import finish, pool
from converters.quantization.onnx_layouts import (
    axes_in,
    integers,
    layout_of,
    read_alike,
    reshaped,
)
from converters.quantization.onnx_rearrangements import REARRANGEMENTS
from converters.quantization.tflite_network import Operation

Emit = Callable[[OnnxBuilder, Operation], None]
_Options = Any
"""An operator's options, in the class that the TFLite schema generates."""


def pointwise(kind: str, attributes: Mapping[str, float | int | str] | None = None) -> Emit:
    """Return the function that adds an operator with one result for each place."""

    def emit(graph: OnnxBuilder, operation: Operation) -> None:
        inputs, layout = read_alike(graph, operation)
        name = graph.node(kind, inputs, graph.name(operation), attributes)
        finish(graph, operation, name, layout)

    return emit


def with_option(kind: str, attribute: str, option: str) -> Emit:
    """Return the function for an operator with one number as an option."""

    def emit(graph: OnnxBuilder, operation: Operation) -> None:
        pointwise(kind, {attribute: float(getattr(operation.options, option))})(graph, operation)

    return emit


def bounded(low: float, high: float) -> Emit:
    """Return the function that adds a ReLU with these bounds, as a fused activation is added."""

    def emit(graph: OnnxBuilder, operation: Operation) -> None:
        layout = layout_of(graph, operation.inputs)
        source, name = graph.read(operation.inputs[0], layout), graph.name(operation)
        if high == np.inf:
            name = graph.node("Relu", [source], name)
        else:
            ends = [_number(graph, low), _number(graph, high)]
            name = graph.node("Clip", [source, *ends], name)
        finish(graph, operation, name, layout)

    return emit


def _number(graph: OnnxBuilder, value: float) -> str:
    return graph.constant(np.array(value, np.float32), f"number_{value:g}")


def reduction(kind: str) -> Emit:
    """Return the function that adds a reduction over constant axes."""

    def emit(graph: OnnxBuilder, operation: Operation) -> None:
        options: _Options = operation.options
        source, target = operation.inputs[0], operation.output
        axes = [int(axis) for axis in graph.fixed(operation.inputs[1]).reshape(-1)]
        layout = layout_of(graph, (source,))
        is_spatial = len(graph.shape(source)) == 4 and sorted(axis % 4 for axis in axes) == [1, 2]
        name = graph.name(operation)
        places = axes_in(graph, source, axes, Layout.FIRST if is_spatial else layout)
        if is_spatial and kind == "ReduceMean":
            name = graph.node("GlobalAveragePool", [graph.read(source, Layout.FIRST)], name)
            layout = Layout.FIRST
        else:
            layout = Layout.FIRST if is_spatial else layout
            values = graph.read(source, layout)
            if kind == "ReduceSum":  # whose axes are an input since opset 13
                inputs = [values, integers(graph, places)]
                name = graph.node(kind, inputs, name, {"keepdims": 1})
            else:
                name = graph.node(kind, [values], name, {"axes": places, "keepdims": 1})
        if not options.keepDims:
            if layout is Layout.FIRST and not is_spatial:
                name = graph.node("Transpose", [name], f"{name}_nhwc", {"perm": Layout.LAST.value})
            name = reshaped(graph, name, graph.shape(target), f"{name}_axes")
            layout = Layout.LAST
        finish(graph, operation, name, layout)

    return emit


def _softmax(graph: OnnxBuilder, operation: Operation) -> None:
    options: _Options = operation.options
    source, name = graph.read(operation.inputs[0]), graph.name(operation)
    if operation.kind == "SOFTMAX" and options.beta != 1:
        source = graph.node("Mul", [source, _number(graph, options.beta)], f"{name}_scaled")
    kind = "Softmax" if operation.kind == "SOFTMAX" else "LogSoftmax"
    finish(graph, operation, graph.node(kind, [source], name, {"axis": -1}))


def _multiply_matrices(graph: OnnxBuilder, operation: Operation) -> None:
    options: _Options = operation.options
    factors = []
    for tensor, swapped in zip(operation.inputs, (options.adjX, options.adjY), strict=True):
        source, rank = graph.read(tensor), len(graph.shape(tensor))
        if swapped:
            order = [*range(rank - 2), rank - 1, rank - 2]
            name = f"{graph.name(operation)}_swapped_{tensor}"
            source = graph.node("Transpose", [source], name, {"perm": order})
        factors.append(source)
    finish(graph, operation, graph.node("MatMul", factors, graph.name(operation)))


def _gelu(graph: OnnxBuilder, operation: Operation) -> None:
    """Write GELU by its definition: opset 17 has no operator for it."""
    options: _Options = operation.options
    layout = layout_of(graph, operation.inputs)
    x, name = graph.read(operation.inputs[0], layout), graph.name(operation)
    if options.approximate:
        cube = graph.node("Mul", [x, x], f"{name}_square")
        cube = graph.node("Mul", [cube, x], f"{name}_cube")
        bent = graph.node("Mul", [cube, _number(graph, 0.044715)], f"{name}_bent")
        inner = graph.node("Add", [x, bent], f"{name}_sum")
        scaled = graph.node("Mul", [inner, _number(graph, float(np.sqrt(2 / np.pi)))], f"{name}_in")
        part = graph.node("Tanh", [scaled], f"{name}_tanh")
    else:
        scaled = graph.node("Div", [x, _number(graph, float(np.sqrt(2)))], f"{name}_in")
        part = graph.node("Erf", [scaled], f"{name}_erf")
    more = graph.node("Add", [part, _number(graph, 1.0)], f"{name}_part")
    whole = graph.node("Mul", [x, more], f"{name}_double")
    finish(graph, operation, graph.node("Mul", [whole, _number(graph, 0.5)], name), layout)


def _inverse_root(graph: OnnxBuilder, operation: Operation) -> None:
    layout = layout_of(graph, operation.inputs)
    name = graph.name(operation)
    root = graph.node("Sqrt", [graph.read(operation.inputs[0], layout)], f"{name}_root")
    finish(graph, operation, graph.node("Reciprocal", [root], name), layout)


def _square(graph: OnnxBuilder, operation: Operation) -> None:
    inputs, layout = read_alike(graph, operation)
    name = graph.name(operation)
    if operation.kind == "SQUARED_DIFFERENCE":
        inputs = [graph.node("Sub", inputs, f"{name}_difference")]
    finish(graph, operation, graph.node("Mul", [inputs[0], inputs[0]], name), layout)


def _prelu(graph: OnnxBuilder, operation: Operation) -> None:
    inputs, layout = read_alike(graph, operation)
    finish(graph, operation, graph.node("PRelu", inputs, graph.name(operation)), layout)


def _normalize(graph: OnnxBuilder, operation: Operation) -> None:
    """Divide by the length along the last axis, which is at least 1e-6 as in LiteRT."""
    x, name = graph.read(operation.inputs[0]), graph.name(operation)
    length = graph.node("ReduceL2", [x], f"{name}_length", {"axes": [-1], "keepdims": 1})
    bounded_length = graph.node("Max", [length, _number(graph, 1e-6)], f"{name}_bounded")
    finish(graph, operation, graph.node("Div", [x, bounded_length], name))


def _select(graph: OnnxBuilder, operation: Operation) -> None:
    inputs, layout = read_alike(graph, operation)
    graph.write(operation.output, graph.node("Where", inputs, graph.name(operation)), layout)


OPERATORS: Mapping[str, Emit] = {
    **REARRANGEMENTS,
    "ABS": pointwise("Abs"),
    "ADD": pointwise("Add"),
    "AVERAGE_POOL_2D": pool,
    "BATCH_MATMUL": _multiply_matrices,
    "COS": pointwise("Cos"),
    "DIV": pointwise("Div"),
    "ELU": pointwise("Elu"),
    "EQUAL": pointwise("Equal"),
    "EXP": pointwise("Exp"),
    "FLOOR": pointwise("Floor"),
    "GELU": _gelu,
    "GREATER": pointwise("Greater"),
    "GREATER_EQUAL": pointwise("GreaterOrEqual"),
    "HARD_SWISH": pointwise("HardSwish"),
    "L2_NORMALIZATION": _normalize,
    "LEAKY_RELU": with_option("LeakyRelu", "alpha", "alpha"),
    "LESS": pointwise("Less"),
    "LESS_EQUAL": pointwise("LessOrEqual"),
    "LOG": pointwise("Log"),
    "LOGISTIC": pointwise("Sigmoid"),
    "LOG_SOFTMAX": _softmax,
    "LOGICAL_AND": pointwise("And"),
    "LOGICAL_NOT": pointwise("Not"),
    "LOGICAL_OR": pointwise("Or"),
    "MAXIMUM": pointwise("Max"),
    "MAX_POOL_2D": pool,
    "MEAN": reduction("ReduceMean"),
    "MINIMUM": pointwise("Min"),
    "MUL": pointwise("Mul"),
    "NEG": pointwise("Neg"),
    "POW": pointwise("Pow"),
    "PRELU": _prelu,
    "REDUCE_MAX": reduction("ReduceMax"),
    "REDUCE_MIN": reduction("ReduceMin"),
    "REDUCE_PROD": reduction("ReduceProd"),
    "RELU": bounded(0.0, np.inf),
    "RELU6": bounded(0.0, 6.0),
    "RELU_0_TO_1": bounded(0.0, 1.0),
    "RELU_N1_TO_1": bounded(-1.0, 1.0),
    "RSQRT": _inverse_root,
    "SELECT": _select,
    "SELECT_V2": _select,
    "SIGN": pointwise("Sign"),
    "SIN": pointwise("Sin"),
    "SOFTMAX": _softmax,
    "SQRT": pointwise("Sqrt"),
    "SQUARE": _square,
    "SQUARED_DIFFERENCE": _square,
    "SUB": pointwise("Sub"),
    "SUM": reduction("ReduceSum"),
    "TANH": pointwise("Tanh"),
}
"""By the operator's name in the TFLite schema."""
