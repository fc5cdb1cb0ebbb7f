"""A classifier's head: the last Dense layer, found, cut off and replaced.

Works on any functional or sequential network, also where the backbone, or the whole network, is
one nested model. What stands between that Dense layer and the output may only be an activation.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
from keras import KerasTensor, layers

from converters.serving import activation_name
from resnet_edge.errors import ModelError
from resnet_edge.model.resnet50 import add_head

ACTIVATIONS = (layers.Activation, layers.Softmax, layers.Identity)
"""Layers that may stand behind the last Dense layer."""


@dataclass(frozen=True)
class Cut:
    """A head that was cut off: the tensor it read, and the layer itself."""

    features: KerasTensor
    head: layers.Dense


def find_head(model: keras.Model) -> layers.Dense:
    """Find the classifier's last Dense layer; ``.name`` and ``.units`` are those of the head.

    Args:
        model: A classifier with one output.

    Returns:
        The layer itself, not a copy.

    Raises:
        ModelError: The network does not end in a Dense layer.
    """
    return cut_head(model).head


def strip_head(model: keras.Model) -> keras.Model:
    """Cut the head off: the last Dense layer, a Dropout in front of it, an activation behind it.

    Args:
        model: A classifier with one output.

    Returns:
        A model of the same input whose output are the features ``(batch, channels)`` that the
        head reads. It shares its layers and weights with ``model``.

    Raises:
        ModelError: The network does not end in a Dense layer.
    """
    return with_output(model, cut_head(model).features)


def replace_head(model: keras.Model, classes: int, dropout: float = 0.0) -> keras.Model:
    """Put a new softmax head, with random weights, in place of the old one.

    Args:
        model: A classifier with one output.
        classes: Number of classes of the new head, which is named ``fc<classes>``.
        dropout: Share of the features dropped in training, in [0, 1).

    Returns:
        A model of the same input and ``(batch, classes)`` probabilities. It shares all layers
        but the head with ``model``.

    Raises:
        ModelError: The network does not end in a Dense layer, or another of its layers has the
            new head's name.
    """
    return with_output(model, add_head(cut_head(model).features, classes, dropout=dropout))


def ends_in_logits(model: keras.Model) -> bool:
    """Return True if the output is that of a Dense layer without any activation.

    Args:
        model: A classifier with one output.
    """
    tensor = model.outputs[0]
    while True:
        layer, inputs = producer(tensor)
        if isinstance(layer, keras.Model):
            return ends_in_logits(layer)
        if isinstance(layer, (layers.Dense, layers.Activation)):
            if layer.activation is not keras.activations.linear:
                return False
            if isinstance(layer, layers.Dense):
                return True
        elif not isinstance(layer, layers.Identity):
            return False
        tensor = inputs[0]


def add_softmax(model: keras.Model) -> keras.Model:
    """Turn logits into probabilities.

    Args:
        model: A classifier that ``ends_in_logits``.

    Returns:
        A model of the same input and ``(batch, classes)`` probabilities, float32, that shares
        all layers with ``model``.
    """
    return with_output(
        model, layers.Softmax(dtype="float32", name="probabilities")(model.outputs[0])
    )


def cut_head(model: keras.Model) -> Cut:
    """Cut the head off, with an activation behind it.

    Args:
        model: A classifier with one output.

    Raises:
        ModelError: The network does not end in a Dense layer.
    """
    tensor = model.outputs[0]
    while True:
        layer, inputs = producer(tensor)
        if isinstance(layer, layers.Dense):
            return Cut(_without_dropout(inputs[0]), layer)
        if isinstance(layer, keras.Model) and len(layer.outputs) == 1:
            inner = cut_head(layer)
            features = keras.Model(layer.inputs, inner.features, name=f"{layer.name}_features")
            return Cut(features(inputs if len(inputs) > 1 else inputs[0]), inner.head)
        activation = isinstance(layer, ACTIVATIONS) or activation_name(layer) != "linear"
        if not activation or not inputs:
            raise ModelError(
                f"{model.name}: the last layer is {layer.name} ({type(layer).__name__}); "
                "expected a classifier that ends in a Dense layer; "
                "its head can be neither trained nor replaced"
            )
        tensor = inputs[0]


def _without_dropout(tensor: KerasTensor) -> KerasTensor:
    layer, inputs = producer(tensor)
    while isinstance(layer, layers.Dropout) and inputs:
        tensor = inputs[0]
        layer, inputs = producer(tensor)
    return tensor


def producer(tensor: KerasTensor) -> tuple[layers.Layer, list[KerasTensor]]:
    """The layer that made a symbolic tensor, and what it read then."""
    history = tensor._keras_history
    node = history.operation._inbound_nodes[history.node_index]
    return history.operation, list(node.input_tensors)


def with_output(model: keras.Model, output: KerasTensor) -> keras.Model:
    """Return the model with another output, which is computed from its layers.

    Raises:
        ModelError: Another of its layers has the name of a new one.
    """
    image = model.inputs[0] if len(model.inputs) == 1 else model.inputs
    try:
        return keras.Model(image, output, name=model.name)
    except ValueError as error:
        raise ModelError(
            f"{model.name}: a new head cannot be put on ({error}); "
            "expected layer names that are used once; rename the layer"
        ) from error
