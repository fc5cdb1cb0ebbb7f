"""Conversion to a float32 ONNX model by tf2onnx, and the last changes to every ONNX file."""

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
from converters.quantization.tflite_network import layer_of

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
        model = convert_graph(function, OPSET)
        _check_operators(model, frozenset(layer.name for layer in serving._flatten_layers()))
        onnx.checker.check_model(model)
    except ModelConversionError:
        raise
    except Exception as problem:  # tf2onnx raises whatever comes up
        reason = str(problem).strip().partition("\n")[0]
        raise ModelConversionError(
            f"ONNX cannot express this model: {reason}; leave the .onnx formats out with --formats"
        ) from problem
    _rename(model.graph, image, INPUT_NAME)
    _rename(model.graph, answer, OUTPUT_NAME)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]  # holds generated names of the batch dimension
    model.graph.name = serving.name
    _leave_out_empty_regions(model.graph)
    _name_by_place(model.graph)
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


def _check_operators(model: onnx.ModelProto, layers: frozenset[str]) -> None:
    """Refuse a graph with operators of TensorFlow, which tf2onnx leaves in where it knows no other.

    Raises:
        ModelConversionError: There is one; its layer is named.
    """
    for node in (node for graph in _graphs(model.graph) for node in graph.node):
        if not node.domain and not onnx.defs.has(node.op_type):
            raise ModelConversionError(
                f"ONNX has no operator {node.op_type}, which layer {layer_of(node.name, layers)!r} "
                "computes; replace the layer or leave the .onnx formats out with --formats"
            )


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Rename one tensor wherever it is read, written or declared."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.name == old:
            value.name = new
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def _leave_out_empty_regions(graph: onnx.GraphProto) -> None:
    """Give no region to a Resize that has an empty one, as tf2onnx writes it.

    The ONNX spec allows both. onnxruntime, where it moves a transpose through a Resize, reorders
    the eight ends of an empty region, and fails when it runs.
    """
    empty = {tensor.name: tensor for tensor in graph.initializer if 0 in tensor.dims}
    for node in graph.node:
        if node.op_type == "Resize" and node.input[1] in empty:
            node.input[1] = ""
    read = {name for part in _graphs(graph) for node in part.node for name in node.input}
    for name in empty.keys() - read:
        graph.initializer.remove(empty[name])


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
