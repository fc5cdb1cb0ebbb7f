"""Folding the order of the channels and their scale into the first convolution.

A convolution of ``(x - offset) * scale``, with the channels reversed, is a convolution of
``x - offset`` with other weights. The offset is left. It cannot become part of the bias, because
the zeros around the picture are added after it.

In LiteRT, reversing the channels takes a twentieth of an int8 inference: one thread moves the bytes
of the whole picture one by one.
"""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
from keras import layers

from converters.preprocessing import Preprocessing
from converters.rewrites.keras_graph import (
    Call,
    Change,
    KerasGraph,
    Rewritten,
    read_graph,
    reconfigured,
    rewrite_graphs,
)

NAME = "fold_preprocessing"


def fold_preprocessing(
    model: keras.Model, preprocessing: Preprocessing
) -> tuple[Rewritten, Preprocessing]:
    """Fold the channel order and the scale of the preprocessing.

    Args:
        model: A functional or Sequential classifier of pictures ``(batch, height, width, 3)``, also
            with models inside. It is not changed.
        preprocessing: The normalization that it expects and does not do itself.

    Returns:
        A model and the preprocessing that it expects. Together they are the same function. Both are
        returned unchanged if more than one convolution, or another layer, reads the picture.
    """
    if not preprocessing.reverse_channels and set(preprocessing.scale) == {1.0}:
        return Rewritten(model, 0), preprocessing
    first = _first_convolution(model)
    if first is None:
        return Rewritten(model, 0), preprocessing

    def find(graph: KerasGraph) -> Change:
        for call in graph.calls:
            if call.layer is first.layer:
                return Change(
                    count=1,
                    replaced={call.name: reconfigured(call.layer)},
                    weights={call.name: _fold(call.layer, preprocessing)},
                )
        return Change()

    left = preprocessing.offset[::-1] if preprocessing.reverse_channels else preprocessing.offset
    height, width = model.inputs[0].shape[1:3]
    size = (height, width) if height and width else None
    raw = replace(
        preprocessing, reverse_channels=False, offset=left, scale=(1.0,) * 3, picture_size=size
    )
    return rewrite_graphs(model, find), raw


def _first_convolution(model: keras.Model) -> Call | None:
    """Return the only convolution that reads the picture, also behind zeros or nested."""
    if not (isinstance(model, keras.Sequential) or hasattr(model, "_nodes_by_depth")):
        return None
    graph = read_graph(model)
    tensor = graph.model.inputs[0]
    while (call := graph.only_reader(tensor)) is not None and graph.called_once(call):
        if call.training:
            return None
        if isinstance(call.layer, keras.Model):
            return _first_convolution(call.layer)
        if _is_convolution(call.layer):
            return call
        if not _pads_with_zeros(call.layer):
            return None
        tensor = call.outputs[0]
    return None


def _is_convolution(layer: keras.Operation) -> bool:
    # By the kernel: with several groups it sees fewer channels.
    channels_last = type(layer) is layers.Conv2D and layer.data_format == "channels_last"
    return channels_last and layer.kernel.shape[2] == 3


def _pads_with_zeros(layer: keras.Operation) -> bool:
    return type(layer) is layers.ZeroPadding2D and layer.data_format == "channels_last"


def _fold(conv: layers.Conv2D, preprocessing: Preprocessing) -> list[np.ndarray]:
    """Return the weights for raw RGB minus the offset, computed in float64."""
    kernel = np.asarray(conv.kernel, np.float64)
    kernel = kernel * np.asarray(preprocessing.scale)[:, np.newaxis]
    if preprocessing.reverse_channels:
        kernel = kernel[:, :, ::-1]
    rest = [np.asarray(conv.bias)] if conv.use_bias else []
    return [kernel.astype(np.float32), *rest]
