"""Fold batch normalization into the convolution it follows.

In inference ``gamma * (conv(x) + b - mean) / sqrt(variance + epsilon) + beta`` is a convolution
with other weights. Folding once, before any converter, gives every format the same convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

NAME = "fold_batch_norm"


@dataclass(frozen=True)
class Rewritten:
    """A rewritten model and how often the rewrite applied."""

    model: keras.Model
    count: int


def fold_batch_norm(model: keras.Model) -> Rewritten:
    """Fold every batch normalization that directly and alone follows a convolution.

    Args:
        model: A functional or Sequential model, also with models inside. It is not changed.

    Returns:
        A new model with the same function in inference, or the model itself where nothing can be
        folded. Layers keep their names; the folded batch normalizations are gone; all layers but
        the folded convolutions are shared with ``model``.
    """
    if not _has_graph(model):
        return Rewritten(model, 0)
    pairs = _find_pairs(model)
    inner = {
        layer.name: fold_batch_norm(layer)
        for layer in model.layers
        if isinstance(layer, keras.Model)
    }
    count = len(pairs) + sum(rewritten.count for rewritten in inner.values())
    if not count:
        return Rewritten(model, 0)
    convolutions = {conv.name for conv, _ in pairs.values()}

    def clone(layer: layers.Layer) -> layers.Layer:
        if layer.name in inner:
            return inner[layer.name].model
        if layer.name in convolutions:
            return type(layer).from_config({**layer.get_config(), "use_bias": True})
        return layer  # shared: some layers have state beyond weights, which a copy would lose

    def call(layer: layers.Layer, *args: object, **kwargs: object) -> object:
        return args[0] if layer.name in pairs else layer(*args, **kwargs)

    folded = keras.models.clone_model(
        _as_functional(model), clone_function=clone, call_function=call, recursive=False
    )
    for conv, norm in pairs.values():
        folded.get_layer(conv.name).set_weights(_fold(conv, norm))
    return Rewritten(folded, count)


def _has_graph(model: keras.Model) -> bool:
    """Whether the model is functional or Sequential; a subclassed one has no graph to read."""
    return isinstance(model, keras.Sequential) or hasattr(model, "_nodes_by_depth")


def _as_functional(model: keras.Model) -> keras.Model:
    """``clone_model`` takes a call function for functional models only."""
    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    return model


def _find_pairs(
    model: keras.Model,
) -> dict[str, tuple[layers.Layer, layers.BatchNormalization]]:
    """Map each foldable batch normalization's name to its convolution and itself."""
    functional = _as_functional(model)
    nodes = [node for depth in functional._nodes_by_depth.values() for node in depth]
    readers: dict[int, list[layers.Layer]] = {}
    calls: dict[str, int] = {}
    # The model's own nodes: a layer's outbound nodes would also name other models' readers.
    for node in nodes:
        calls[node.operation.name] = calls.get(node.operation.name, 0) + 1
        for tensor in node.input_tensors:
            readers.setdefault(id(tensor), []).append(node.operation)
    outputs = {id(tensor) for tensor in functional.outputs}
    pairs = {}
    for node in nodes:
        norm = node.operation
        if not isinstance(norm, layers.BatchNormalization) or calls[norm.name] > 1:
            continue
        source = node.input_tensors[0]
        conv = source._keras_history.operation
        alone = (
            len(readers[id(source)]) == 1 and id(source) not in outputs and calls[conv.name] == 1
        )
        if alone and _is_linear_convolution(conv) and _is_last_axis(norm):
            pairs[norm.name] = (conv, norm)
    return pairs


def _is_linear_convolution(layer: layers.Layer) -> bool:
    return (
        type(layer) in (layers.Conv2D, layers.DepthwiseConv2D)
        and layer.activation is keras.activations.linear
        and layer.data_format == "channels_last"
    )


def _is_last_axis(norm: layers.BatchNormalization) -> bool:
    return norm.axis in (-1, 3)


def _fold(conv: layers.Layer, norm: layers.BatchNormalization) -> list[np.ndarray]:
    """Kernel and bias of the folded convolution, computed in float64."""
    mean = np.asarray(norm.moving_mean, np.float64)
    factor = 1.0 / np.sqrt(np.asarray(norm.moving_variance, np.float64) + norm.epsilon)
    if norm.scale:
        factor = factor * np.asarray(norm.gamma, np.float64)
    kernel = np.asarray(conv.kernel, np.float64)
    bias = np.asarray(conv.bias, np.float64) if conv.use_bias else 0.0
    bias = (bias - mean) * factor
    if norm.center:
        bias = bias + np.asarray(norm.beta, np.float64)
    if isinstance(conv, layers.DepthwiseConv2D):
        kernel = kernel * factor.reshape(kernel.shape[2:])
    else:
        kernel = kernel * factor
    return [kernel.astype(np.float32), bias.astype(np.float32)]
