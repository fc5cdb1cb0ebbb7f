"""Layouts of ONNX tensors, axes in them, and shapes with a free leading axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.quantization.onnx_builder import Layout, OnnxBuilder
from converters.quantization.tflite_network import Operation

_AXES = {Layout.LAST: (0, 1, 2, 3), Layout.FIRST: (0, 2, 3, 1)}
"""The place of each TFLite axis in a layout."""


def layout_of(graph: OnnxBuilder, tensors: tuple[int, ...]) -> Layout:
    """Return the layout that tensors can be read in without a new order, if there is one.

    All must have four axes: with fewer, axes would be matched from the wrong end.
    """
    computed = [tensor for tensor in tensors if tensor not in graph.network.constants]
    if any(len(graph.shape(tensor)) != 4 for tensor in computed):
        return Layout.LAST
    return Layout.FIRST if any(map(graph.is_first, computed)) else Layout.LAST


def axes_in(graph: OnnxBuilder, tensor: int, axes: list[int], layout: Layout) -> list[int]:
    """Return the places of TFLite axes in a layout."""
    rank = len(graph.shape(tensor))
    places = [axis % rank for axis in axes]
    return [_AXES[layout][place] for place in places] if rank == 4 else places


def integers(graph: OnnxBuilder, values: Sequence[int]) -> str:
    """Return the name of a constant, int64."""
    return graph.constant(np.array(values, np.int64), "integers_" + "_".join(map(str, values)))


def free_shape(graph: OnnxBuilder, shape: Sequence[int]) -> str:
    """Return the name of a shape for Reshape, with a free leading axis."""
    return integers(graph, [-1, *shape[1:]])


def reshaped(graph: OnnxBuilder, source: str, shape: Sequence[int], name: str) -> str:
    """Add a Reshape with a free leading axis."""
    return graph.node("Reshape", [source, free_shape(graph, shape)], name)


def batch_of(graph: OnnxBuilder, source: str, name: str) -> str:
    """Return the name of a tensor's number of pictures, int64 ``(1,)``."""
    sizes = graph.node("Shape", [source], f"{name}_shape")
    return graph.node("Slice", [sizes, integers(graph, [0]), integers(graph, [1])], f"{name}_batch")


def read_alike(graph: OnnxBuilder, operation: Operation) -> tuple[list[str], Layout]:
    """Return an operator's inputs in one layout, so that they broadcast for every picture.

    For one picture ``(1, channels)`` fits ``(1, height, width, channels)``. For several it needs
    the axes between.
    """
    computed = [tensor for tensor in operation.inputs if tensor not in graph.network.constants]
    rank = max(len(graph.shape(tensor)) for tensor in operation.inputs)
    whole = [tensor for tensor in computed if len(graph.shape(tensor)) == rank]
    narrow = [tensor for tensor in computed if 1 < len(graph.shape(tensor)) < rank]
    layout = layout_of(graph, tuple(whole)) if whole else Layout.LAST
    if any(len(graph.shape(tensor)) != 2 for tensor in narrow):
        layout = Layout.LAST
    if any(len(graph.shape(tensor)) > len(graph.network.shapes[tensor]) for tensor in computed):
        graph.restore_batch(operation.output)
    inputs = []
    for place, tensor in enumerate(operation.inputs):
        if tensor not in narrow:
            inputs.append(graph.read(tensor, layout))
            continue
        shape = graph.shape(tensor)
        between = [1] * (rank - len(shape))
        first = [*shape[:1], *shape[1:], *between]
        wide = first if layout is Layout.FIRST else [*shape[:1], *between, *shape[1:]]
        name = f"{graph.name(operation)}_axes_{place}"
        inputs.append(reshaped(graph, graph.read(tensor), wide, name))
    return inputs, layout
