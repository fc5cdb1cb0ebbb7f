"""Merging explicit zeros into the convolutions that read them, where ``same`` pads alike.

A padding layer copies its tensor. ``same`` puts ``(total + 1) // 2`` zeros behind. So a padding can
always be merged into stride 1 with an odd kernel, and into stride 2 if its zeros are those of
``same``.
"""

from __future__ import annotations

from dataclasses import replace

import keras
from keras import layers

from converters.rewrites.convolution_windows import windows_of
from converters.rewrites.keras_graph import (
    Call,
    Change,
    KerasGraph,
    Rewritten,
    reconfigured,
    rewrite_graphs,
)

NAME = "merge_padding"


def merge_padding(model: keras.Model) -> Rewritten:
    """Drop every zero padding whose readers can all be given the padding ``same`` instead.

    Args:
        model: A functional or Sequential model, also with models inside. It is not changed.

    Returns:
        A new model with the same function, or the model itself if nothing can be merged.
    """
    return rewrite_graphs(model, _find_change)


def _find_change(graph: KerasGraph) -> Change:
    merged: set[Call] = set()
    convolutions: dict[str, layers.Layer] = {}
    for padding in graph.calls:
        if type(padding.layer) is not layers.ZeroPadding2D:
            continue
        readers = graph.readers.get(id(padding.outputs[0]), ())
        free = id(padding.outputs[0]) not in graph.outputs
        if free and readers and all(_pads_alike(graph, padding, reader) for reader in readers):
            merged.add(padding)
            convolutions |= {reader.name: reader.layer for reader in readers}
    return Change(
        count=len(merged),
        replaced={name: reconfigured(conv, padding="same") for name, conv in convolutions.items()},
        weights={name: conv.get_weights() for name, conv in convolutions.items()},
        skipped=frozenset(merged),
    )


def _pads_alike(graph: KerasGraph, padding: Call, reader: Call) -> bool:
    """True if ``same`` gives a convolution the windows that it has on the padded tensor."""
    conv, explicit = reader.layer, padding.layer
    if (
        type(conv) not in (layers.Conv2D, layers.DepthwiseConv2D)
        or not graph.called_once(reader)
        or conv.padding != "valid"
        or (conv.data_format, explicit.data_format) != ("channels_last", "channels_last")
    ):
        return False
    pairs = zip(windows_of(conv, padding.inputs[0]), explicit.padding, strict=True)
    for valid, (before, behind) in pairs:
        same = replace(valid, is_same=True)
        if same.before != before:
            return False
        if valid.size is None:
            if behind != same.extent - 1 - before or same.stride != 1:
                return False
        elif same.count != replace(valid, size=valid.size + before + behind).count:
            return False
    return True
