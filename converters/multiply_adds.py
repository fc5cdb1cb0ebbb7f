"""Multiply-adds of a network, counted from the shapes of its layers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
from keras import KerasTensor, layers


def count_multiply_adds(model: keras.Model) -> int:
    """Count the multiply-adds of one picture through convolutions and dense layers.

    Args:
        model: A functional or Sequential model with a fixed input size. Nested models are counted
            at the size they are called with. A layer that is called twice counts twice.

    Returns:
        Multiply-adds for batch 1. Products with padding zeros count, as is usual in papers.
    """
    functional = keras.Model(model.inputs, model.outputs)  # a Sequential model shows no nodes
    return sum(
        _call_multiply_adds(node.operation, node.input_tensors, node.output_tensors[0])
        for nodes in functional._nodes_by_depth.values()
        for node in nodes
    )


def _call_multiply_adds(
    layer: keras.Operation, inputs: Sequence[KerasTensor], output: KerasTensor
) -> int:
    if isinstance(layer, keras.Model):
        return count_multiply_adds(_at_sizes_of(layer, inputs))
    # Every weight of a kernel is used once per output position; the kernel of a DepthwiseConv2D is
    # (height, width, channels, multiplier), that of a grouped Conv2D has a group's channels only.
    positions = math.prod(output.shape[1:-1])
    return int(positions * sum(math.prod(kernel.shape) for kernel in kernels_of(layer)))


def kernels_of(layer: keras.Operation) -> list[keras.Variable]:
    """Return the kernels of which every weight is used once per position of the output."""
    if isinstance(layer, layers.SeparableConv2D):
        return [layer.depthwise_kernel, layer.pointwise_kernel]
    if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)):
        return [layer.kernel]
    return []


def _at_sizes_of(model: keras.Model, inputs: Sequence[KerasTensor]) -> keras.Model:
    """Return the same layers at the sizes of a call, or the model itself if it has these sizes."""
    if [tuple(x.shape) for x in model.inputs] == [tuple(x.shape) for x in inputs]:
        return model
    sized = [keras.Input(batch_shape=x.shape, dtype=x.dtype) for x in inputs]
    return keras.models.clone_model(
        model,
        input_tensors=keras.tree.pack_sequence_as(model.input, sized),
        clone_function=lambda layer: layer,
    )
