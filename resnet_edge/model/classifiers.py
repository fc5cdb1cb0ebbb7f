"""Image classifiers of the user's: any network of Keras, checked and brought into one form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import keras

from resnet_edge.errors import ModelError
from resnet_edge.model.answers import answer_probabilities
from resnet_edge.model.keras_files import LoadedNetwork, load_network, read_keras_file
from resnet_edge.model.picture_input import take_pictures


@dataclass(frozen=True)
class Classifier:
    """An image classifier in the form that is exported.

    Attributes:
        model: ``(batch, height, width, 3)`` float32 of fixed height and width in,
            ``(batch, classes)`` probabilities out.
        grey: True if the user's network sees one channel.
        notes: A sentence for each thing that differs from the user's network.
        warnings: A sentence for each thing that may not be as the user thinks.
    """

    model: keras.Model
    grey: bool
    notes: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def read_classifier(path: Path, size: tuple[int, int] | None = None) -> Classifier:
    """Load any image classifier of Keras, safely and uncompiled, and bring it into one form.

    Args:
        path: The user's model file.
        size: Height and width of the pictures, for a network that leaves them free.

    Raises:
        UsageError: No such file, or the network leaves the size free and none is given.
        ModelError: The file cannot be loaded (see ``load_network``), or the network is not an
            image classifier with one class for each picture.
    """
    network = load_network(path)
    check_endpoints(network.model, path)
    answers = answer_probabilities(network, str(path))
    pictures = take_pictures(answers.model, str(path), size)
    return Classifier(
        pictures.model,
        pictures.grey,
        (*reduced_note(network), *answers.notes, *pictures.notes),
        training_warning(network),
    )


def training_warning(network: LoadedNetwork) -> tuple[str, ...]:
    """Warn of layers that were called as in training, if there are any."""
    names = network.config.in_training
    if not names:
        return ()
    listed = ", ".join(repr(name) for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (
        f"{listed}{more}: called with training=True; the exported files answer as in inference, "
        "like Keras' predict, and unlike model(pictures), which is random or depends on the batch",
    )


def reduced_note(network: LoadedNetwork) -> tuple[str, ...]:
    """Say that a network was rebuilt in float32, if it was."""
    if not network.config.reduced:
        return ()
    kinds = ", ".join(network.config.reduced)
    return (f"it computes in {kinds}: rebuilt in float32 with the same weights",)


def load_classifier(path: Path, size: tuple[int, int] | None = None) -> keras.Model:
    """Load any image classifier of Keras (see ``read_classifier``).

    Args:
        path: The user's model file.
        size: Height and width of the pictures, for a network that leaves them free.

    Returns:
        A model of one input ``(batch, height, width, 3)`` of fixed size, the batch free, and one
        output ``(batch, classes)``.
    """
    return read_classifier(path, size).model


def picture_size(path: Path) -> tuple[int, int] | None:
    """Return height and width of the only pictures that a network takes; None for any.

    Args:
        path: A model file, with a head or without.

    Raises:
        UsageError: No such file.
        ModelError: It cannot be loaded (see ``load_network``).
    """
    shape = read_keras_file(path).inputs[0].shape
    if len(shape) not in (3, 4) or None in shape[1:3]:
        return None
    return int(shape[1]), int(shape[2])


def check_endpoints(model: keras.Model, path: Path) -> None:
    """Check that a network has one input and one output.

    Args:
        model: Any model with a fixed graph.
        path: Its file, for messages.

    Raises:
        ModelError: It has others; the outputs are named, so that one can be chosen.
    """
    inputs, outputs = len(model.inputs), len(model.outputs)
    if inputs == 1 and outputs == 1:
        return
    named = ", ".join(f"{_layer_of(x)} {shape_words(x.shape)}" for x in model.outputs)
    if outputs > 1:
        advice = (
            f"its outputs are {named}; keep one: keras.Model(model.input, "
            f"model.get_layer({_layer_of(model.outputs[0])!r}).output).save('one.keras')"
        )
    else:
        advice = "a network of several inputs cannot be asked with pictures alone"
    raise ModelError(
        f"{path}: {inputs} inputs and {outputs} outputs; expected one picture in "
        f"and one row of class probabilities out; {advice}"
    )


def _layer_of(tensor: keras.KerasTensor) -> str:
    return str(tensor._keras_history.operation.name)


def shape_words(shape: tuple[int | None, ...]) -> str:
    """Write a shape with ``any`` where a side is free.

    Args:
        shape: Sides, None for a free one.
    """
    sides = ", ".join("any" if side is None else str(side) for side in shape)
    return f"({sides})"
