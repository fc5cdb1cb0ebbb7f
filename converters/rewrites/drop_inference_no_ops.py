"""Dropping layers that do nothing in inference: dropout, noise, augmentation, ``linear``.

They cost nothing in most converted files, but they stand between layers that other rewrites join.
"""

from __future__ import annotations

import keras
from keras import layers

from converters.rewrites.keras_graph import Call, Change, KerasGraph, Rewritten, rewrite_graphs

NAME = "drop_inference_no_ops"

_TRAINING_ONLY = (
    layers.ActivityRegularization,
    layers.AlphaDropout,
    layers.Dropout,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.Identity,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.SpatialDropout3D,
)


_AUGMENTATION = (
    layers.RandomBrightness,
    layers.RandomContrast,
    layers.RandomFlip,
    layers.RandomRotation,
    layers.RandomTranslation,
    layers.RandomZoom,
)
"""Their calls say ``training=True`` by default. A model in inference says otherwise."""


def drop_inference_no_ops(model: keras.Model) -> Rewritten:
    """Drop every layer whose output is its input in inference.

    Args:
        model: A functional or Sequential model, also with models inside. It is not changed.

    Returns:
        A new model without them, or the model itself if there are none. A layer that is called as
        in training stays. So does one that makes an output, because callers know its name.
    """
    return rewrite_graphs(model, _find_change)


def _find_change(graph: KerasGraph) -> Change:
    dropped = frozenset(
        call
        for call in graph.calls
        if gives_back(call) and id(call.outputs[0]) not in graph.outputs
    )
    return Change(count=len(dropped), skipped=dropped)


def gives_back(call: Call) -> bool:
    """True if a call returns its only input in inference."""
    if len(call.inputs) != 1:
        return False
    if type(call.layer) in _AUGMENTATION:
        return bool(call.inputs[0].dtype == call.outputs[0].dtype)
    if call.training:
        return False
    layer = call.layer
    if type(layer) is layers.Activation:
        return layer.activation is keras.activations.linear
    return type(layer) in _TRAINING_ONLY and call.inputs[0].dtype == call.outputs[0].dtype
