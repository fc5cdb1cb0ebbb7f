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
        and norm.layer.axis in (-1, 3)
    )
    return conv if foldable else None


def _is_linear_convolution(layer: keras.Operation) -> bool:
    return (
        type(layer) in (layers.Conv2D, layers.DepthwiseConv2D)
        and layer.activation is keras.activations.linear
        and layer.data_format == "channels_last"
    )


def _fold(conv: layers.Layer, norm: layers.BatchNormalization) -> list[np.ndarray]:
    """Return kernel and bias of the folded convolution, computed in float64."""
    factor, shift = factor_and_shift(norm)
    kernel = np.asarray(conv.kernel, np.float64)
    bias = np.asarray(conv.bias, np.float64) * factor + shift if conv.use_bias else shift
    if isinstance(conv, layers.DepthwiseConv2D):
        kernel = kernel * factor.reshape(kernel.shape[2:])
    else:
        kernel = kernel * factor
    return [kernel.astype(np.float32), bias.astype(np.float32)]


def factor_and_shift(norm: layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers with which it is ``x * factor + shift``, float64 ``(channels,)``."""
    factor = 1.0 / np.sqrt(np.asarray(norm.moving_variance, np.float64) + norm.epsilon)
    if norm.scale:
        factor = factor * np.asarray(norm.gamma, np.float64)
    shift = -np.asarray(norm.moving_mean, np.float64) * factor
    if norm.center:
        shift = shift + np.asarray(norm.beta, np.float64)
    return factor, shift
