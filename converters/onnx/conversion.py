"""Conversion to a float32 ONNX model by tf2onnx, and the float16 model derived from it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import keras
import onnx
from onnx import TensorProto, helper

from converters.endpoints import INPUT_NAME, OUTPUT_NAME
from converters.errors import ModelConversionError
from converters.frozen_graph import freeze
from converters.onnx.tf2onnx_without_copies import convert_graph

OPSET = 17
"""Runtimes of 2022 and later read it. QDQ per channel needs 13 or later."""


def convert_float32(serving: keras.Model) -> onnx.ModelProto:
    """Convert to a float32 ONNX model with a free batch size.

    Args:
        serving: A model made by ``converters.serving.serving_model``.

    Returns:
        A checked model: ``image`` float32 in, ``probabilities`` float32 out.

    Raises:
        ModelConversionError: The model has an operator that tf2onnx cannot express.
    """
    function = freeze(serving, batch=None)
    image, answer = function.inputs[0].name, function.outputs[0].name
    try:
        model = convert_graph(function.graph.as_graph_def(), image, answer, OPSET)
        onnx.checker.check_model(model)  # tf2onnx leaves operators in that ONNX does not have
    except Exception as problem:  # tf2onnx raises whatever comes up
        reason = str(problem).strip().partition("\n")[0]
        raise ModelConversionError(
            f"ONNX cannot express this model: {reason}; replace the layer or leave the .onnx "
            "formats out with --formats"
        ) from problem
    _rename(model.graph, image, INPUT_NAME)
    _rename(model.graph, answer, OUTPUT_NAME)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]  # holds generated names of the batch dimension
    model.graph.name = serving.name
    _name_by_place(model.graph)
    onnx.checker.check_model(model)
    return model


def convert_float16(float32: onnx.ModelProto) -> onnx.ModelProto:
    """Turn weights and computation into float16, with float32 input, output and softmax.

    Raw levels up to 255 and a softmax over many classes lose nothing by it.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    copy = onnx.ModelProto()
    copy.CopyFrom(float32)
    model = convert_float_to_float16(copy, keep_io_types=True, op_block_list=["Softmax"])
    _sort_topologically(model.graph)
    onnx.checker.check_model(model)
    return model


def use_uint8_input(model: onnx.ModelProto) -> None:
    """Make a graph take uint8 pixels, by a Cast in front."""
    image = model.graph.input[0]
    image.type.tensor_type.elem_type = TensorProto.UINT8
    inner = f"{image.name}_float32"
    for node in model.graph.node:
        node.input[:] = [inner if name == image.name else name for name in node.input]
    cast = helper.make_node(
        "Cast", [image.name], [inner], f"{image.name}_cast", to=TensorProto.FLOAT
    )
    model.graph.node.insert(0, cast)


def add_metadata(model: onnx.ModelProto, properties: dict[str, str]) -> None:
    """Write ``metadata_props`` in place of earlier ones."""
    del model.metadata_props[:]
    helper.set_model_props(model, properties)


def serialize(model: onnx.ModelProto) -> bytes:
    """Serialize a model. The same model gives the same bytes."""
    return bytes(model.SerializeToString(deterministic=True))


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Rename one tensor wherever it is read, written or declared."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.name == old:
            value.name = new
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def _name_by_place(graph: onnx.GraphProto) -> None:
    """Replace the names that tf2onnx invented (``Transpose__27``), and sort the constants.

    Those names come from a counter of the process and from sets, so a second conversion would give
    other bytes. New names count in the order of the nodes. Names of layers stay.
    """
    names: dict[str, str] = {}
    parts = list(_graphs(graph))
    for node in (node for part in parts for node in part.node):
        for name in (*node.input, *node.output):
            if _MADE_UP.search(name) and name not in names:
                kind = node.op_type if name in node.output else "const"
                names[name] = f"{kind}__{len(names) + 1}"
    for part in parts:
        for node in part.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
            node.name = node.output[0].removesuffix(":0")
        for value in (*part.initializer, *part.input, *part.output):
            value.name = names.get(value.name, value.name)
        constants = sorted(part.initializer, key=lambda tensor: str(tensor.name))
        del part.initializer[:]
        part.initializer.extend(constants)


_MADE_UP = re.compile(r"__\d+")


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield the graph and then the graphs inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _graphs(attribute.g)


def _sort_topologically(graph: onnx.GraphProto) -> None:
    """Sort the nodes, as the ONNX spec demands: the float16 converter appends its casts."""
    known = (
        {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer} | {""}
    )
    waiting, ordered = list(graph.node), []
    while waiting:
        ready = [node for node in waiting if known.issuperset(node.input)]
        if not ready:
            raise ModelConversionError(
                "fp16.onnx: the graph has a cycle after the float16 conversion; expected none; "
                "leave fp16.onnx out with --formats"
            )
        ordered += ready
        known.update(name for node in ready for name in node.output)
        waiting = [node for node in waiting if not known.issuperset(node.output)]
    del graph.node[:]
    graph.node.extend(ordered)
