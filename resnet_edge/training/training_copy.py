"""A classifier taken apart for training: backbone, head, and which layers learn."""

from __future__ import annotations

import re
from dataclasses import dataclass

import keras
from keras import layers

from resnet_edge.errors import ModelError, UsageError

_STAGE_NAME = re.compile(r"res(?P<classic>[2-5])[a-z]|conv(?P<keras>[2-5])_block")


@dataclass(frozen=True)
class TrainingCopy:
    """A copy of a classifier whose layers are shared by three views on it."""

    model: keras.Model
    """The copy; its weights are in the order of the original's."""
    backbone: keras.Model
    """Pictures to features ``(batch, channels)``."""
    head: keras.Model
    """Features to probabilities, with dropout in training."""
    whole: keras.Model
    """Pictures to probabilities, with dropout in training."""


def softmax_layer(model: keras.Model) -> layers.Dense:
    """Return the dense softmax layer that a classifier ends in.

    Raises:
        ModelError: The model is not built, or ends otherwise.
    """
    if not getattr(model, "inputs", None) or len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(
            f"{model.name}: not a built functional or sequential model with one input and one "
            "output; expected a picture classifier; call it on a picture or build it first"
        )
    last = model.outputs[0]._keras_history.operation
    activation = getattr(getattr(last, "activation", None), "__name__", None)
    if not isinstance(last, layers.Dense) or activation != "softmax":
        raise ModelError(
            f"{model.name}: ends in {type(last).__name__} {last.name!r}; "
            "expected a Dense layer with softmax; put one at its end, or export it as it is"
        )
    return last


def copy_for_training(
    model: keras.Model, dropout: float, *, mixed_precision: bool = False
) -> TrainingCopy:
    """Copy a classifier for training, so that flags and precision of the original stay as they are.

    Dropout that stands right before the head is replaced by ``dropout``.

    Args:
        model: A classifier that ends in a dense softmax.
        dropout: Share of the features dropped in training.
        mixed_precision: True lets all but the head compute in float16.

    Returns:
        The copy with the original's weights.

    Raises:
        ModelError: See ``softmax_layer``.
    """
    softmax_layer(model)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    dense = softmax_layer(copy)
    if mixed_precision:
        for layer in copy._flatten_layers():
            layer.dtype_policy = "mixed_float16"
        dense.dtype_policy = "float32"
    features = dense.input
    before = features._keras_history.operation
    if isinstance(before, layers.Dropout):
        features = before.input
    dropped = layers.Dropout(dropout, name="training_dropout", dtype="float32")
    head_input = keras.Input(features.shape[1:])
    return TrainingCopy(
        model=copy,
        backbone=keras.Model(copy.inputs[0], features),
        head=keras.Model(head_input, dense(dropped(head_input))),
        whole=keras.Model(copy.inputs[0], dense(dropped(features))),
    )


def train_all(network: TrainingCopy) -> None:
    """Let every layer learn, batch normalization by the statistics of each batch."""
    for layer in network.model._flatten_layers():
        layer.trainable = True


def train_last_stages(network: TrainingCopy, stages: int) -> None:
    """Let the head and the backbone's last stages learn, with batch normalization held.

    A batch normalization that is not trainable runs in inference mode, so it neither uses nor
    learns the statistics of a batch.

    Args:
        network: Its layers' ``trainable`` flags are set.
        stages: 0 freezes the whole backbone.

    Raises:
        UsageError: The network has fewer stages, or they cannot be told.
    """
    learning = _last_stages(network.backbone, stages) if stages else set()
    learning.add(id(softmax_layer(network.model)))
    train_all(network)
    for layer in _leaves(network.model):
        layer.trainable = id(layer) in learning


def _leaves(model: keras.Model) -> list[keras.Layer]:
    """The layers without layers in them."""
    return [
        layer
        for layer in model._flatten_layers()
        if not any(True for _ in layer._flatten_layers(include_self=False))
    ]


def _last_stages(backbone: keras.Model, count: int) -> set[int]:
    """Ids of the layers of the last stages: by name where names tell, else by the maps' sizes.

    Batch normalization is never among them.
    """
    owners = [
        layer
        for layer in _leaves(backbone)
        if layer.weights and not isinstance(layer, layers.BatchNormalization)
    ]
    named = {id(layer): stage for layer in owners if (stage := _named_stage(layer.name))}
    if named:
        stages = sorted(set(named.values()))
        _check_count(backbone, count, len(stages))
        return {key for key, stage in named.items() if stage in stages[-count:]}
    sizes = {id(layer): _map_size(backbone, layer) for layer in owners}
    found = sorted(set(sizes.values()) - {0})
    _check_count(backbone, count, len(found))
    return {key for key, size in sizes.items() if size <= found[count - 1]}


def _named_stage(name: str) -> int:
    match = _STAGE_NAME.match(name)
    return int(match["classic"] or match["keras"]) if match else 0


def _map_size(backbone: keras.Model, layer: keras.Layer) -> int:
    """Pixels of a layer's feature map; 0 where it has none, as after the pooling."""
    try:
        shape = layer.output.shape
    except (AttributeError, ValueError):
        shape = (None, None, None, None)
    if len(shape) != 4:
        return 0
    if None in shape[1:3]:
        raise UsageError(
            f"--unfreeze: stages of {backbone.name} cannot be told, because layer {layer.name!r} "
            "has no fixed output size; leave --unfreeze out, or give the model a fixed input size"
        )
    return int(shape[1] * shape[2])


def _check_count(backbone: keras.Model, asked: int, found: int) -> None:
    if asked > found:
        raise UsageError(
            f"--unfreeze: got {asked}; this network has {found} stages; ask for {found} or fewer"
        )
