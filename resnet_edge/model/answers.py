"""What a classifier answers: brought to one probability for each class, or refused with advice."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from keras import KerasTensor, layers

from converters.serving import activation_name, final_activation
from resnet_edge.errors import ModelError
from resnet_edge.model.head import (
    ACTIVATIONS,
    add_softmax,
    cut_head,
    ends_in_logits,
    find_head,
    producer,
    replace_head,
    with_output,
)
from resnet_edge.model.keras_files import LoadedNetwork
from resnet_edge.model.matching import head_note
from resnet_edge.model.resnet50 import add_head

_LOGITS = ("linear", "log_softmax")
_VALUE_KEEPING = (
    layers.Activation,  # a linear one
    layers.Dropout,
    layers.Flatten,
    layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling2D,
    layers.Identity,
    layers.Reshape,
)
_FEATURES = (
    layers.BatchNormalization,
    layers.InputLayer,
    layers.LayerNormalization,
    layers.MaxPooling2D,
    layers.ReLU,
)


@dataclass(frozen=True)
class Answers:
    """A network that answers probabilities.

    Attributes:
        model: ``(batch, classes)`` probabilities out, or plain logits that a softmax follows.
        notes: A sentence for each thing that was added or replaced.
    """

    model: keras.Model
    notes: tuple[str, ...] = ()


def answer_probabilities(network: LoadedNetwork, path: str) -> Answers:
    """Bring a network's answers to one probability for each of two or more classes.

    A single sigmoid unit becomes two classes: ``sigmoid(z)`` is the second of
    ``softmax([-z / 2, z / 2])``.

    Args:
        network: A network of one output.
        path: Its file, for messages.

    Raises:
        ModelError: It has no head, several labels for a picture, or answers something else.
    """
    model = network.model
    shape = tuple(model.outputs[0].shape)
    if len(shape) != 2 or shape[1] is None:
        raise ModelError(_without_head(path, shape))
    units, activation = int(shape[1]), final_activation(model)
    if units == 1:
        return _two_classes(network, activation, path)
    if activation == "sigmoid":
        raise ModelError(
            f"{path}: ends in a sigmoid over {units} units, a probability for each of several "
            "labels of one picture (multi-label); expected one class for each picture, because "
            "accuracy and agreement compare the best class; if exactly one class is right, put a "
            "softmax in place of the sigmoid: the best class stays the same; else save one model "
            "for each label, with one sigmoid unit"
        )
    if activation == "softmax":
        return Answers(model)
    if activation not in _LOGITS:
        raise ModelError(
            f"{path}: ends in {activation!r} over {units} units; expected a softmax over the "
            "classes, or plain logits; put keras.layers.Softmax() in its place and save it again"
        )
    if activation == "linear" and _ends_in_features(model.outputs[0]):
        raise ModelError(_without_head(path, shape))
    if activation == "log_softmax" or ends_in_logits(model):
        return Answers(add_softmax(model), ("it answered logits; a softmax was put behind them",))
    return Answers(model)


def fit_head(network: LoadedNetwork, classes: int, dropout: float, path: str) -> Answers:
    """Give a network a softmax head of so many classes.

    Args:
        network: A network of one output, with a head or without.
        classes: Number of classes asked for.
        dropout: Share of the features dropped in front of a new head, in training.
        path: Its file, for messages.

    Returns:
        The network with its own head where that answers these classes, else with a new one, which
        starts at random.

    Raises:
        ModelError: It answers maps that cannot be pooled, or its head cannot be replaced.
    """
    model = network.model
    features, shape = model.outputs[0], tuple(model.outputs[0].shape)
    activation = final_activation(model)
    if len(shape) == 4 or (
        activation not in ("softmax", "sigmoid") and len(shape) == 2 and _ends_in_features(features)
    ):
        if len(shape) == 4:
            features = layers.GlobalAveragePooling2D(name="head_pool")(features)
        answer = add_head(features, classes, dropout=dropout)
        note = f"it has no head; a new one of {classes} classes starts at random"
        return Answers(with_output(model, answer), (note,))
    if shape[-1] == 1 and classes == 2:
        return _two_classes(network, activation, path)
    if len(shape) == 2 and shape[-1] == classes and activation in ("softmax", *_LOGITS):
        return answer_probabilities(network, path)
    head = find_head(model)
    kind = " (a sigmoid for each label)" if activation == "sigmoid" else ""
    note = head_note(head.name + kind, head.units, classes)
    return Answers(replace_head(model, classes, dropout), (note,))


def _without_head(path: str, shape: tuple[int | None, ...]) -> str:
    sides = ", ".join("any" if side is None else str(side) for side in shape)
    return (
        f"{path}: answers ({sides}), features of a network without a head; expected "
        "(batch, classes); train a head on it with `resnet-edge finetune --weights`, or put one on "
        "(GlobalAveragePooling2D, then Dense(classes, activation='softmax')), train it and save it"
    )


def _two_classes(network: LoadedNetwork, activation: str, path: str) -> Answers:
    model, config = network.model, network.config
    logit = activation == "linear" and config.from_logits and "binary" in str(config.loss).lower()
    if activation != "sigmoid" and not logit:
        ending = "no activation" if activation == "linear" else repr(activation)
        raise ModelError(
            f"{path}: answers one number with {ending}; expected a sigmoid, the probability of the "
            "second of two classes, or a softmax over two or more; if the number is the logit of a "
            "binary cross-entropy, put keras.layers.Activation('sigmoid') behind it and save it "
            "again; a model that estimates a quantity is no classifier"
        )
    note = "one sigmoid unit: exported as two classes, the second of which is the unit's"
    if not _is_dense(model, activation):  # the unit is no Dense layer: [1 - p, p] of its answer
        pair = layers.Dense(2, "softmax" if logit else None, name="two_classes", dtype="float32")
        answer = pair(model.outputs[0])
        half = np.array([[-0.5, 0.5]] if logit else [[-1.0, 1.0]], np.float32)
        pair.set_weights([half, np.array([0, 0] if logit else [1, 0], np.float32)])
        return Answers(with_output(model, answer), (note,))
    cut = cut_head(model)
    head = cut.head
    pair = layers.Dense(2, "softmax", use_bias=head.use_bias, name=head.name, dtype="float32")
    answer = pair(cut.features)
    halves = [np.asarray(weight, np.float32) / 2 for weight in head.get_weights()]
    pair.set_weights([np.concatenate([-half, half], axis=-1) for half in halves])
    return Answers(with_output(model, answer), (note,))


def _is_dense(model: keras.Model, activation: str) -> bool:
    """Return True if the output is a Dense layer's with this activation and no other."""
    found, tensor = [], model.outputs[0]
    while True:
        layer, inputs = producer(tensor)
        if isinstance(layer, keras.Model):
            tensor = layer.outputs[tensor._keras_history.tensor_index]
            continue
        if (name := activation_name(layer)) != "linear":
            found.append(name)
        if isinstance(layer, layers.Dense):
            return found == [activation] or (not found and activation == "linear")
        if not inputs or (name == "linear" and not isinstance(layer, ACTIVATIONS)):
            return False
        tensor = inputs[0]


def _ends_in_features(tensor: KerasTensor) -> bool:
    """Return True if the output is pooled or normalized features, not the sums of a last layer."""
    while True:
        layer, inputs = producer(tensor)
        if isinstance(layer, keras.Model):
            tensor = layer.outputs[tensor._keras_history.tensor_index]
            continue
        activation = getattr(layer, "activation", keras.activations.linear)
        if activation is not keras.activations.linear or isinstance(layer, _FEATURES):
            return True
        if not isinstance(layer, _VALUE_KEEPING) or not inputs:
            return False
        tensor = inputs[0]
