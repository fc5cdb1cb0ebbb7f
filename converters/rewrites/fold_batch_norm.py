"""Folding batch normalization into the convolution before it.

In inference ``gamma * (conv(x) + b - mean) / sqrt(variance + epsilon) + beta`` is a convolution
with other weights. Folding before any conversion gives every format the same convolutions.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from converters.rewrites.keras_graph import (
    Call,
    Change,
    KerasGraph,
    Rewritten,
    reconfigured,
    rewrite_graphs,
)

NAME = "fold_batch_norm"


def fold_batch_norm(model: keras.Model) -> Rewritten:
    """Fold every batch normalization that is the only reader of a convolution.

    Args:
        model: A functional or Sequential model, also with models inside. It is not changed.

    Returns:
        A new model with the same function in inference, or the model itself if nothing can be
        folded. Layers keep their names, and the folded batch normalizations are gone. All layers
        but the folded convolutions are shared with ``model``.
    """
    return rewrite_graphs(model, _find_change)


def _find_change(graph: KerasGraph) -> Change:
    pairs = {norm: conv for norm in graph.calls if (conv := _convolution_before(graph, norm))}
    return Change(
        count=len(pairs),
        replaced={conv.name: reconfigured(conv.layer, use_bias=True) for conv in pairs.values()},
        weights={conv.name: _fold(conv.layer, norm.layer) for norm, conv in pairs.items()},
        skipped=frozenset(pairs),
    )


def _convolution_before(graph: KerasGraph, norm: Call) -> Call | None:
    """Return the convolution that a batch normalization can be folded into, or None."""
    if not isinstance(norm.layer, layers.BatchNormalization) or norm.training:
        return None
    source = norm.inputs[0]
    conv = graph.writers.get(id(source))
    foldable = (
        conv is not None
        and graph.only_reader(source) is norm
        and graph.called_once(norm)
        and graph.called_once(conv)
        and _is_linear_convolution(conv.layer)
        and norm.layer.axis in (-1, len(source.shape) - 1)
    )
    return conv if foldable else None


def _is_linear_convolution(layer: keras.Operation) -> bool:
    if type(layer) is layers.Dense:
        return bool(layer.activation is keras.activations.linear)
    return (
        type(layer) in _CONVOLUTIONS
        and layer.activation is keras.activations.linear
        and layer.data_format == "channels_last"
    )


_CONVOLUTIONS = (
    layers.Conv2D,
    layers.Conv2DTranspose,
    layers.DepthwiseConv2D,
    layers.SeparableConv2D,
)


def affine(norm: layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """Return factor and shift of every channel in inference, float64 ``(channels,)``."""
    mean = np.asarray(norm.moving_mean, np.float64)
    factor = 1.0 / np.sqrt(np.asarray(norm.moving_variance, np.float64) + norm.epsilon)
    if norm.scale:
        factor = factor * np.asarray(norm.gamma, np.float64)
    shift = -mean * factor
    if norm.center:
        shift = shift + np.asarray(norm.beta, np.float64)
    return factor, shift


def _fold(conv: layers.Layer, norm: layers.BatchNormalization) -> list[np.ndarray]:
    """Return the weights of the folded convolution, computed in float64."""
    factor, shift = affine(norm)
    *others, kernel = [np.asarray(w, np.float64) for w in conv.get_weights()[: _kernels(conv)]]
    bias = np.asarray(conv.bias, np.float64) if conv.use_bias else 0.0
    bias = bias * factor + shift
    if isinstance(conv, layers.DepthwiseConv2D):
        kernel = kernel * factor.reshape(kernel.shape[2:])
    elif isinstance(conv, layers.Conv2DTranspose):  # (height, width, out, in)
        kernel = kernel * factor[:, np.newaxis]
    else:
        kernel = kernel * factor
    return [w.astype(np.float32) for w in (*others, kernel, bias)]


def _kernels(conv: layers.Layer) -> int:
    return 2 if isinstance(conv, layers.SeparableConv2D) else 1
