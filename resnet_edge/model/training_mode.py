"""Layers that a network calls with ``training=True``, whatever it is used for.

Monte-Carlo dropout is built so, and by mistake many a batch normalization. Keras 3 answers as in
inference all the same when ``predict`` asks, and as in training when the model is called without
``training=False``. Keras 2 answers as in training always: at random, or by the other pictures of
the batch, which no exported file can do.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import keras

from resnet_edge.model.json_values import JsonObject, JsonValue

_RATES = ("rate", "dropout", "stddev", "recurrent_dropout")
_AUGMENTATIONS = ("Random", "RandAugment", "AugMix", "CutMix", "MixUp")
"""Beginnings of the names of layers whose ``call`` has ``training=True`` as its default."""


def call_for_inference(config: JsonValue) -> tuple[str, ...]:
    """Make all calls of a description calls in inference.

    Args:
        config: A serialized Keras 3 model, changed in place.

    Returns:
        Names of the layers that were called with ``training=True`` and answer otherwise then.
    """
    found: dict[str, None] = {}
    for layer, arguments in list(_calls(config)):
        if arguments.get("training") is True:
            arguments["training"] = False
            if _differs(layer):
                inner = layer["config"]
                assert isinstance(inner, dict)
                found[str(layer.get("name") or inner.get("name"))] = None
    return tuple(found)


def _calls(config: JsonValue) -> Iterator[tuple[JsonObject, JsonObject]]:
    """Each call's layer and its named arguments, at any depth, in the network's order."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        waiting += reversed(value.values()) if isinstance(value, dict) else ()
        waiting += reversed(value) if isinstance(value, list) else ()
        nodes = value.get("inbound_nodes") if isinstance(value, dict) else None
        if not isinstance(value, dict) or not isinstance(value.get("config"), dict):
            continue
        for node in nodes if isinstance(nodes, list) else ():
            if isinstance(node, dict) and isinstance(node.get("kwargs"), dict):
                yield value, node["kwargs"]  # type: ignore[misc]


def _differs(layer: JsonValue) -> bool:
    """Return True if a layer answers otherwise in training than in inference."""
    config = layer.get("config") if isinstance(layer, dict) else None
    if not isinstance(layer, dict) or not isinstance(config, dict):
        return False
    kind = str(layer.get("class_name"))
    if isinstance(inner := config.get("layers"), list):
        return any(_differs(item) for item in inner)
    if kind == "BatchNormalization":
        return config.get("trainable") is not False  # a frozen one uses its moving statistics
    if kind.startswith(_AUGMENTATIONS):
        return False
    if isinstance(config.get("layer"), dict) and kind != "SpectralNormalization":
        return _differs(config["layer"])
    call = getattr(getattr(keras.layers, kind, None), "call", None)
    if call is None or "training" not in inspect.signature(call).parameters:
        return False
    rates = [config[name] for name in _RATES if name in config]
    return not rates or any(rate != 0 for rate in rates)
