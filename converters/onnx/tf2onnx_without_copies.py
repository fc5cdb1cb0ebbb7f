"""tf2onnx without its copies of the weights: a third of the time and a third of the memory.

tf2onnx 1.17 copies a graph's weights before every optimizer pass. In its large-model mode it also
writes them into protobuf messages after every pass, and protobuf keeps all of these copies (two GB
for ResNet50). That mode also calls ``np.product``, which NumPy 2 has removed, and ends where a pass
fails. All of these are worked around here. A graph that fails nevertheless is converted in the
plain mode, which leaves out a pass that fails.

Large-model mode is documented at https://github.com/onnx/tensorflow-onnx#--large_model.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
import tf2onnx.graph
from tf2onnx.optimizer.transpose_optimizer import TransposeOptimizer

from converters.onnx.added_operators import HANDLERS


def convert_graph(function: tf.types.experimental.ConcreteFunction, opset: int) -> onnx.ModelProto:
    """Convert a frozen function with its weights set aside, then add the weights.

    Args:
        function: A function without variables, with one input and one output.
        opset: ONNX opset.

    Returns:
        A model that holds all its weights. An operator that tf2onnx does not know is left in it
        under its TensorFlow name.
    """
    try:
        with _lean():
            model, storage = _convert(function, opset, large_model=True)
    except Exception:  # a pass may raise anything; what no mode can do, the second one raises
        return _convert(function, opset, large_model=False)[0]
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            tensor.raw_data = storage.name_to_tensor_data[tensor.external_data[0].value]
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
    return model


def _convert(
    function: tf.types.experimental.ConcreteFunction, opset: int, *, large_model: bool
) -> tuple[onnx.ModelProto, tf2onnx.graph.ExternalTensorStorage]:
    graph = function.graph.as_graph_def()
    _allow_inlining(graph)
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # the caller says what cannot be converted, and once
    try:
        converted: tuple[onnx.ModelProto, tf2onnx.graph.ExternalTensorStorage] = (
            tf2onnx.convert.from_graph_def(
                graph,
                input_names=[function.inputs[0].name],
                output_names=[function.outputs[0].name],
                opset=opset,
                custom_op_handlers={name: (handler, []) for name, handler in HANDLERS.items()},
                large_model=large_model,
            )
        )
        return converted
    finally:
        logger.setLevel(level)


def _allow_inlining(graph: tf.compat.v1.GraphDef) -> None:
    """Let functions be inlined that Keras compiles: those of grouped convolutions.

    TensorFlow computes them on a CPU only if they are compiled, but ONNX has no functions.
    """
    functions = graph.library.function
    nodes = [*graph.node, *(node for function in functions for node in function.node_def)]
    for owner in (*functions, *nodes):
        for name in ("_XlaMustCompile", "_noinline"):
            if name in owner.attr:
                del owner.attr[name]


@contextlib.contextmanager
def _lean() -> Iterator[None]:
    graph, write = tf2onnx.graph.Graph, tf2onnx.graph.Graph.update_proto
    merge = TransposeOptimizer._add_handler

    def write_at_the_end(
        self: tf2onnx.graph.Graph,
        external_tensor_storage: tf2onnx.graph.ExternalTensorStorage | None = None,
    ) -> None:
        # Passes read the nodes, not the messages. Only the last call has a storage to fill.
        if external_tensor_storage is not None:
            write(self, external_tensor_storage)

    def merge_if_not_scalar(
        self: TransposeOptimizer, trans: tf2onnx.graph.Node, node: tf2onnx.graph.Node
    ) -> bool:
        # It takes every constant for a bias, and looks for the largest size of a scalar's shape.
        added = node.inputs[1]
        if added.is_const() and not added.get_tensor_value(as_list=False).shape:
            return bool(self._handle_node_having_branches(trans, node))
        return bool(merge(self, trans, node))

    had_product = hasattr(np, "product")
    if not had_product:
        np.product = np.prod  # type: ignore[attr-defined]
    graph.update_proto = write_at_the_end
    TransposeOptimizer._add_handler = merge_if_not_scalar
    try:
        yield
    finally:
        graph.update_proto = write
        TransposeOptimizer._add_handler = merge
        if not had_product:
            del np.product  # type: ignore[attr-defined]
