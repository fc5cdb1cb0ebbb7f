"""Batch normalizations that no convolution takes up, as depthwise 1x1 convolutions.

In inference a batch normalization is ``x * factor + shift`` per channel. A converter makes a
product and a sum of it, with constants that static int8 rounds to 8 bits in one step for all
channels. A depthwise convolution computes the same with one weight per channel, which is exact in
8 bits because every channel has a step of its own, and with one rounding instead of two.
Pre-activation networks (ResNet v2) and concatenations (DenseNet) have many of them.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from converters.rewrites.fold_batch_norm import factor_and_shift
from converters.rewrites.keras_graph import Call, Change, KerasGraph, Rewritten, rewrite_graphs

NAME = "channelwise_batch_norm"


def channelwise_batch_norm(model: keras.Model) -> Rewritten:
    """Turn every batch normalization of feature maps into a depthwise convolution.

    Args:
        model: A functional or Sequential model, also with models inside. It is not changed.

    Returns:
        A new model with the same function in inference, or the model itself if there is nothing to
        turn. The convolutions have the names of the batch normalizations.
    """
    return rewrite_graphs(model, _find_change)


def _find_change(graph: KerasGraph) -> Change:
    norms = {call.name: call for call in graph.calls if _is_channelwise(call)}
    return Change(
        count=len(norms),
        replaced={name: _convolution(call.layer) for name, call in norms.items()},
        weights={name: _weights(call.layer) for name, call in norms.items()},
    )


def _is_channelwise(call: Call) -> bool:
    norm = call.layer
    return (
        type(norm) is layers.BatchNormalization
        and not call.training
        and len(call.inputs) == 1  # a second one is a mask
        and len(call.inputs[0].shape) == 4
        and norm.axis in (-1, 3)
    )


def _convolution(norm: layers.BatchNormalization) -> layers.Layer:
    return layers.DepthwiseConv2D(1, name=norm.name, dtype=norm.dtype_policy)


def _weights(norm: layers.BatchNormalization) -> list[np.ndarray]:
    factor, shift = factor_and_shift(norm)
    kernel = factor.reshape(1, 1, -1, 1)
    return [kernel.astype(np.float32), shift.astype(np.float32)]
