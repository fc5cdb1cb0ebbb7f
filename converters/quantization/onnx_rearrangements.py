"""ONNX nodes of TFLite operators that move values: one row of ``REARRANGEMENTS`` for each kind.

Files for TFLite are converted for one picture. Here the leading axis is free, so shapes that an
operator names begin with -1, and constants beside computed values are repeated for every picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from converters.errors import ModelConversionError
from converters.quantization.onnx_builder import Layout, OnnxBuilder
from converters.quantization.onnx_kernels import finish
from converters.quantization.onnx_layouts import (
    axes_in,
    batch_of,
    integers,
    layout_of,
    reshaped,
)
from converters.quantization.tflite_network import Operation

Emit = Callable[[OnnxBuilder, Operation], None]
_Options = Any
"""An operator's options, in the class that the TFLite schema generates."""

_END = np.iinfo(np.int64).max


def _reshape(graph: OnnxBuilder, operation: Operation) -> None:
    """Reshape with a free leading axis."""
    shape = graph.restore_batch(operation.output)
    graph.move(
        operation,
        (Layout.LAST, Layout.LAST),
        lambda source, _: reshaped(graph, source, shape, graph.name(operation)),
    )


def _transpose(graph: OnnxBuilder, operation: Operation) -> None:
    order = [int(axis) for axis in graph.fixed(operation.inputs[1]).reshape(-1)]
    graph.move(
        operation,
        (Layout.LAST, Layout.LAST),
        lambda source, _: graph.node("Transpose", [source], graph.name(operation), {"perm": order}),
    )


def _pad(graph: OnnxBuilder, operation: Operation) -> None:
    layout = layout_of(graph, operation.inputs[:1])
    pairs = graph.fixed(operation.inputs[1]).reshape(-1, 2)
    if len(pairs) == 4:
        pairs = pairs[list(layout.value if layout is Layout.FIRST else range(4))]
    pads = integers(graph, [*map(int, pairs[:, 0]), *map(int, pairs[:, 1])])
    name = graph.name(operation)
    if operation.kind == "MIRROR_PAD":
        if operation.options.mode:  # type: ignore[attr-defined]
            raise ModelConversionError("a symmetric padding has no ONNX operator in opset 17")
        source = graph.read(operation.inputs[0], layout)
        graph.write(
            operation.output, graph.node("Pad", [source, pads], name, {"mode": "reflect"}), layout
        )
        return
    if operation.kind == "PADV2":
        value = graph.read(operation.inputs[2])
        source = graph.read(operation.inputs[0], layout)
        graph.write(operation.output, graph.node("Pad", [source, pads, value], name), layout)
        return

    def build(source: str, zero: np.generic) -> str:
        value = graph.constant(np.asarray(zero), f"zero_of_{operation.index}")
        return graph.node("Pad", [source, pads, value], name)

    graph.move(operation, (layout, layout), build)


def _concatenate(graph: OnnxBuilder, operation: Operation) -> None:
    options: _Options = operation.options
    layout = layout_of(graph, operation.inputs)
    (axis,) = axes_in(graph, operation.output, [options.axis], layout)
    name = graph.name(operation)
    parts = _for_every_picture(graph, operation, layout, axis)
    finish(graph, operation, graph.node("Concat", parts, name, {"axis": axis}), layout)


def _for_every_picture(
    graph: OnnxBuilder, operation: Operation, layout: Layout, axis: int
) -> list[str]:
    """Return the inputs of an operator, with constants repeated for every picture of a batch."""
    parts = [graph.read(tensor, layout) for tensor in operation.inputs]
    constant = [tensor in graph.network.constants for tensor in operation.inputs]
    if axis == 0 or not any(constant) or all(constant):
        return parts
    name, rank = graph.name(operation), len(graph.shape(operation.inputs[0]))
    batch = batch_of(graph, parts[constant.index(False)], name)
    ones = integers(graph, [1] * (rank - 1))
    repeats = graph.node("Concat", [batch, ones], f"{name}_repeats", {"axis": 0})
    return [
        graph.node("Expand", [part, repeats], f"{name}_repeated_{place}") if fixed else part
        for place, (part, fixed) in enumerate(zip(parts, constant, strict=True))
    ]


def _slice(graph: OnnxBuilder, operation: Operation) -> None:
    source = operation.inputs[0]
    shape, layout = graph.shape(source), layout_of(graph, operation.inputs[:1])
    begin = graph.fixed(operation.inputs[1]).reshape(-1)
    size = graph.fixed(operation.inputs[2]).reshape(-1)
    cuts = [
        (int(first), int(first + count) if count >= 0 else length, 1)
        for first, count, length in zip(begin, size, shape, strict=True)
    ]
    _cut(graph, operation, cuts, layout)


def _strided_slice(graph: OnnxBuilder, operation: Operation) -> None:
    options: _Options = operation.options
    shape = graph.shape(operation.inputs[0])
    if options.newAxisMask or options.ellipsisMask:
        raise ModelConversionError("a slice that adds axes is not written as ONNX here")
    begin, end, stride = (graph.fixed(tensor).reshape(-1) for tensor in operation.inputs[1:4])
    cuts = []
    for axis, length in enumerate(shape[: len(begin)]):
        step = int(stride[axis])
        first = None if options.beginMask >> axis & 1 else int(begin[axis])
        last = None if options.endMask >> axis & 1 else int(end[axis])
        if options.shrinkAxisMask >> axis & 1:
            first, last, step = int(begin[axis]) % length, int(begin[axis]) % length + 1, 1
        start, stop, step = slice(first, last, step).indices(length)
        cuts.append((start, stop if stop >= 0 else -_END, step))
    shrinks = bool(options.shrinkAxisMask)
    layout = Layout.LAST if shrinks else layout_of(graph, operation.inputs[:1])
    _cut(graph, operation, cuts, layout, reshape=shrinks)


def _cut(
    graph: OnnxBuilder,
    operation: Operation,
    cuts: list[tuple[int, int, int]],
    layout: Layout,
    *,
    reshape: bool = False,
) -> None:
    """Add a slice: start, end and step of every axis. The leading axis stays whole."""
    source, name = operation.inputs[0], graph.name(operation)
    shape = graph.shape(source)
    if cuts[0] not in ((0, 1, 1), (0, shape[0], 1)):
        raise ModelConversionError("a slice of the batch is not written as ONNX here")
    wanted = [axis for axis in range(1, len(cuts)) if cuts[axis] != (0, shape[axis], 1)]
    places = axes_in(graph, source, wanted, layout)
    columns = [[cuts[axis][part] for axis in wanted] for part in range(3)]
    inputs = [integers(graph, part) for part in (*columns[:2], places, columns[2])]

    def build(values: str, _: np.generic) -> str:
        result = graph.node("Slice", [values, *inputs], name) if wanted else values
        if reshape:
            result = reshaped(graph, result, graph.shape(operation.output), f"{name}_axes")
        return result if wanted or reshape else graph.node("Identity", [values], name)

    graph.move(operation, (layout, layout), build)


def _parts(graph: OnnxBuilder, operation: Operation) -> None:
    """Split along an axis, also into parts without that axis: one slice for each part."""
    options: _Options = operation.options
    if operation.kind == "UNPACK":
        source, axis = operation.inputs[0], int(options.axis)
    else:
        at, of = (1, 0) if operation.kind == "SPLIT" else (0, 2)
        source, axis = operation.inputs[at], int(graph.fixed(operation.inputs[of]).item())
    layout = Layout.LAST if operation.kind == "UNPACK" else layout_of(graph, (source,))
    rank, values = len(graph.shape(source)), graph.read(source, layout)
    (place,) = axes_in(graph, source, [axis], layout)
    if place == 0:
        raise ModelConversionError("a split of the batch is not written as ONNX here")
    start = 0
    for number, target in enumerate(operation.outputs):
        shape = graph.shape(target)
        size = 1 if operation.kind == "UNPACK" else shape[axis % rank]
        ends = [integers(graph, [value]) for value in (start, start + size, place)]
        name = f"{graph.name(operation)}_{number}"
        part = graph.node("Slice", [values, *ends], name)
        if operation.kind == "UNPACK":
            part = reshaped(graph, part, shape, f"{name}_axes")
        graph.write(target, part, layout)
        start += size


def _pack(graph: OnnxBuilder, operation: Operation) -> None:
    options: _Options = operation.options
    shape, name = graph.shape(operation.output), graph.name(operation)
    axis = int(options.axis) % len(shape)
    if axis == 0:
        raise ModelConversionError("a stack along the batch is not written as ONNX here")
    one = [1 if place == axis else size for place, size in enumerate(shape)]
    parts = [
        reshaped(graph, source, one, f"{name}_{place}")
        for place, source in enumerate(_for_every_picture(graph, operation, Layout.LAST, axis))
    ]
    finish(graph, operation, graph.node("Concat", parts, name, {"axis": axis}))


def _gather(graph: OnnxBuilder, operation: Operation) -> None:
    options: _Options = operation.options
    source, chosen = operation.inputs[:2]
    rank = len(graph.shape(source))
    axis = int(options.axis) % rank
    if axis == 0 or options.batchDims or source in graph.network.constants:
        raise ModelConversionError("a choice along the batch is not written as ONNX here")
    inputs = [graph.read(source), graph.read(chosen)]
    graph.write(
        operation.output, graph.node("Gather", inputs, graph.name(operation), {"axis": axis})
    )


def _reverse(graph: OnnxBuilder, operation: Operation) -> None:
    source = operation.inputs[0]
    axes = [int(axis) for axis in graph.fixed(operation.inputs[1]).reshape(-1)]
    cuts = [(0, size, 1) for size in graph.shape(source)]
    for axis in axes:
        cuts[axis] = (graph.shape(source)[axis] - 1, -_END, -1)
    _cut(graph, operation, cuts, layout_of(graph, (source,)))


def _tile(graph: OnnxBuilder, operation: Operation) -> None:
    repeats = [int(size) for size in graph.fixed(operation.inputs[1]).reshape(-1)]
    inputs = [graph.read(operation.inputs[0]), integers(graph, repeats)]
    graph.write(operation.output, graph.node("Tile", inputs, graph.name(operation)))


def _broadcast(graph: OnnxBuilder, operation: Operation) -> None:
    inputs = [graph.read(operation.inputs[0]), integers(graph, graph.shape(operation.output))]
    graph.write(operation.output, graph.node("Expand", inputs, graph.name(operation)))


def _blocks(graph: OnnxBuilder, operation: Operation) -> None:
    options: _Options = operation.options
    kind = "DepthToSpace" if operation.kind == "DEPTH_TO_SPACE" else "SpaceToDepth"
    source = graph.read(operation.inputs[0], Layout.FIRST)
    attributes = {"blocksize": int(options.blockSize)}
    name = graph.node(kind, [source], graph.name(operation), attributes)
    graph.write(operation.output, name, Layout.FIRST)


def _resize(graph: OnnxBuilder, operation: Operation) -> None:
    options: _Options = operation.options
    source, name = graph.read(operation.inputs[0], Layout.FIRST), graph.name(operation)
    _, height, width, channels = graph.shape(operation.output)
    inner = integers(graph, [channels, height, width])
    sizes = graph.node(
        "Concat", [batch_of(graph, source, name), inner], f"{name}_sizes", {"axis": 0}
    )
    is_linear = operation.kind == "RESIZE_BILINEAR"
    if options.alignCorners:
        coordinates, nearest = "align_corners", "round_prefer_ceil"
    elif options.halfPixelCenters:
        coordinates, nearest = "half_pixel", "round_prefer_ceil"
    else:
        coordinates, nearest = "asymmetric", "floor"
    attributes: dict[str, int | float | str | list[int]] = {
        "mode": "linear" if is_linear else "nearest",
        "coordinate_transformation_mode": coordinates,
        "nearest_mode": nearest,
    }
    resized = graph.node("Resize", [source, "", "", sizes], name, attributes)
    graph.write(operation.output, resized, Layout.FIRST)


REARRANGEMENTS: Mapping[str, Emit] = {
    "BROADCAST_TO": _broadcast,
    "CONCATENATION": _concatenate,
    "DEPTH_TO_SPACE": _blocks,
    "EXPAND_DIMS": _reshape,
    "GATHER": _gather,
    "MIRROR_PAD": _pad,
    "PACK": _pack,
    "PAD": _pad,
    "PADV2": _pad,
    "RESHAPE": _reshape,
    "RESIZE_BILINEAR": _resize,
    "RESIZE_NEAREST_NEIGHBOR": _resize,
    "REVERSE_V2": _reverse,
    "SLICE": _slice,
    "SPACE_TO_DEPTH": _blocks,
    "SPLIT": _parts,
    "SPLIT_V": _parts,
    "SQUEEZE": _reshape,
    "STRIDED_SLICE": _strided_slice,
    "TILE": _tile,
    "TRANSPOSE": _transpose,
    "UNPACK": _parts,
}
"""By the operator's name in the TFLite schema."""
