"""Image classifiers of the user's: any ``.keras`` network, checked and brought into one form."""

from __future__ import annotations

from pathlib import Path

import keras

from resnet_edge.errors import ModelError
from resnet_edge.model.head import add_softmax, ends_in_logits
from resnet_edge.model.keras_files import check_file, read_keras_file


def load_classifier(path: Path) -> keras.Model:
    """Load any ``.keras`` image classifier, safely and uncompiled.

    Args:
        path: A ``.keras`` file.

    Returns:
        A model of one input ``(batch, height, width, 3)`` of fixed size, the batch free, and one
        output ``(batch, classes)``. Logits get a softmax.

    Raises:
        UsageError: No such file.
        ModelError: Not a ``.keras`` file, damaged, with code in it, with weights that are not
            finite, or not an image classifier of fixed input size.
    """
    check_file(path)
    model = read_keras_file(path)
    check_classifier(model, path)
    shape = tuple(model.inputs[0].shape[1:])
    if None in shape or shape[2] != 3:
        raise ModelError(
            f"{path}: input is {shape_words(model.inputs[0].shape)}; expected "
            "(batch, height, width, 3) of fixed height and width; build it with "
            "keras.Input((height, width, 3)) and save it again"
        )
    model = at_shape(model, shape)
    return add_softmax(model) if ends_in_logits(model) else model


def picture_size(path: Path) -> tuple[int, int] | None:
    """Return height and width of the only pictures that a ``.keras`` network takes; None for any.

    Args:
        path: A ``.keras`` file, with a head or without.

    Raises:
        UsageError: No such file.
        ModelError: It cannot be loaded (see ``read_keras_file``).
    """
    shape = read_keras_file(path).inputs[0].shape
    if len(shape) != 4 or None in shape[1:3]:
        return None
    return int(shape[1]), int(shape[2])


def at_shape(model: keras.Model, shape: tuple[int, ...]) -> keras.Model:
    """Give a network a free batch and fixed picture sides.

    Args:
        model: A functional or sequential network of one input.
        shape: Height, width and channels; the network's own wherever it has them fixed.

    Returns:
        The model itself where it is so already, else a copy.
    """
    if tuple(model.inputs[0].shape) == (None, *shape):
        return model
    image = keras.Input(shape, name=model.inputs[0].name, dtype=model.inputs[0].dtype)
    clone = keras.models.clone_model(model, input_tensors=image)
    clone.set_weights(model.get_weights())
    return clone


def check_classifier(model: keras.Model, path: Path) -> None:
    """Check that a network takes one picture and gives one row of class probabilities.

    Args:
        model: Any model with a fixed graph.
        path: Its file, for messages.

    Raises:
        ModelError: Other inputs or outputs, or fewer than two classes.
    """
    got = [tuple(tensor.shape) for tensor in (*model.inputs, *model.outputs)]
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(
            f"{path}: {len(model.inputs)} inputs and {len(model.outputs)} outputs "
            f"({', '.join(shape_words(shape) for shape in got)}); expected one picture in "
            "and one row of class probabilities out"
        )
    if len(got[0]) != 4 or len(got[1]) != 2 or got[1][1] is None or got[1][1] < 2:
        raise ModelError(
            f"{path}: {shape_words(got[0])} in, {shape_words(got[1])} out; expected "
            "(batch, height, width, 3) in and (batch, classes) out with at least 2 classes; "
            "a network with one sigmoid output needs a softmax over two classes"
        )


def shape_words(shape: tuple[int | None, ...]) -> str:
    """Write a shape with ``any`` where a side is free.

    Args:
        shape: Sides, None for a free one.
    """
    sides = ", ".join("any" if side is None else str(side) for side in shape)
    return f"({sides})"
