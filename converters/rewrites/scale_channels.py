"""Batch normalization that no convolution takes up, as a depthwise convolution of 1x1.

Behind a ReLU, a sum or a concatenation it stays a product and a sum with a constant for every
channel. Integer runtimes round all constants of a tensor with one step, and the tensor between as
well. A depthwise convolution has a step per channel, so its only weight is exact, its bias has 32
bits, and a ReLU behind it costs nothing. DenseNet and ResNet v2 consist of such places.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from converters.rewrites.fold_batch_norm import affine
from converters.rewrites.keras_graph import Call, Change, KerasGraph, Rewritten, rewrite_graphs

NAME = "scale_channels"


def scale_channels(model: keras.Model) -> Rewritten:
    """Replace every batch normalization of pictures by a depthwise convolution.

    Args:
        model: A functional or Sequential model, also with models inside, after
            ``fold_batch_norm``. It is not changed.

    Returns:
        A new model with the same function in inference, or the model itself if there is none.
    """
    return rewrite_graphs(model, _find_change)


def _find_change(graph: KerasGraph) -> Change:
    calls = [call for call in graph.calls if isinstance(call.layer, layers.BatchNormalization)]
    lasting = {call.name for call in calls if not _is_affine(call)}
    found = {call.name: call.layer for call in calls if call.name not in lasting}
    return Change(
        count=len(found),
        replaced={
            name: layers.DepthwiseConv2D(1, data_format="channels_last", name=name)
            for name in found
        },
        weights={name: _weights(norm) for name, norm in found.items()},
    )


def _is_affine(call: Call) -> bool:
    """True if a batch normalization scales the last axis of (batch, height, width, channels)."""
    rank = len(call.inputs[0].shape)
    return rank == 4 and call.layer.axis in (-1, 3) and not call.training


def _weights(norm: layers.BatchNormalization) -> list[np.ndarray]:
    factor, shift = affine(norm)
    return [factor.reshape(1, 1, -1, 1).astype(np.float32), shift.astype(np.float32)]
